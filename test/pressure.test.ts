import { afterEach, beforeAll, describe, expect, it } from "@effect/vitest"
import { openEvents } from "./support/EventSource.ts"
import { canLimit, fillDisk, relieve, takeDescriptors } from "./support/Pressure.ts"
import { scriptedAgent } from "./support/Scripted.ts"
import type { ServerProcess } from "./support/ServerProcess.ts"
import { ask, post, readiness, serviceUnderTest, until } from "./support/Service.ts"
import { notChecked } from "./support/Tools.ts"

/**
 * A service on a machine that has run out of something. On a full disk, what ends, ends at once, and is written when there is
 * room again. What the machine cannot do is not told as the client's fault, and is not kept.
 */

const { dataDir, start, adminToken, mint, rows } = serviceUnderTest("file")
const admin = (method: string, path: string) => ask(server.url, method, path, adminToken())
let server: ServerProcess
let token: string

beforeAll(async () => {
  server = await start({ CLAWDFORGE_AGENTS: `echo=${scriptedAgent(dataDir())}` })
  token = await mint(server.url)
})

afterEach(() => canLimit && relieve(server))

/** A streamed run that works until it is ended. Returns once its row is there, and its stream has begun. */
const running = async (by: string, more: object) => {
  const stream = await openEvents(`${server.url}/run`, {
    method: "POST",
    token: by,
    body: { prompt: "HOLD", ...more },
  })
  await stream.until((events) => events.length > 0)
  const id = JSON.parse(stream.events[0]?.data ?? "").run_id as string
  await until(() => rows(`SELECT 1 FROM runs WHERE id = '${id}' AND status = 'running'`).length === 1)
  return { id, stream }
}

/** The end of a stream: how its response ended, and its last event. */
const endOf = async ({ stream }: Awaited<ReturnType<typeof running>>) => {
  const how = await stream.ended
  const last = stream.events.at(-1)
  return { how, event: last?.event, data: JSON.parse(last?.data ?? "{}") }
}

/** What the ledger has of a run: its state, its ends in the log, and its ends in its stream. */
const recorded = (id: string) => ({
  status: rows(`SELECT status FROM runs WHERE id = '${id}'`)[0]?.status,
  events: rows(`SELECT type FROM events WHERE run_id = '${id}' ORDER BY seq`).map(({ type }) => type),
  ends: rows(`SELECT 1 FROM stream_events WHERE run_id = '${id}' AND kind IN ('result', 'error')`).length,
})

/** Asks on the one connection that is open. */
const keyed = async (key: string, path: string, body: object) => {
  const response = await fetch(`${server.url}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "idempotency-key": key,
    },
    body: JSON.stringify(body),
  })
  return { status: response.status, json: (await response.json()) as any }
}

if (!canLimit) notChecked("a service under pressure", "prlimit of util-linux")

describe.skipIf(!canLimit)("without a free descriptor", () => {
  it("a schema that is one is not called none, and what could not start is done when it can", async () => {
    const schema = { prompt: 'SAY {"x":1}', output_schema: { type: "object" } }
    expect((await post(server.url, "/run", token, { prompt: "SAY warm" })).status).toBe(200)
    takeDescriptors(server)
    const unchecked = await keyed("schema", "/run", schema)
    expect([unchecked.status, unchecked.json.code, unchecked.json.retryable]).toEqual([
      503,
      "overloaded",
      true,
    ])
    const unstarted = await keyed("run", "/run", { prompt: "SAY x" })
    expect([unstarted.status, unstarted.json.retryable]).toEqual([502, true])
    const unopened = await keyed("session", "/sessions", { agent: "echo" })
    expect([unopened.status, unopened.json.retryable]).toEqual([502, true])

    relieve(server)
    expect((await keyed("schema", "/run", schema)).json.result).toEqual({ x: 1 })
    expect((await keyed("run", "/run", { prompt: "SAY x" })).json.result).toBe("x")
    const opened = await keyed("session", "/sessions", { agent: "echo" })
    expect(opened.status).toBe(200)
    await ask(server.url, "DELETE", `/sessions/${opened.json.session_id}`, token)
  })
})

describe.skipIf(!canLimit)("on a full disk", () => {
  it("a run ends at its timeout and at its cancel, for its stream, for others, and in one row later", async () => {
    const [late, cancelled] = [
      await running(token, { timeout_secs: 3 }),
      await running(token, { timeout_secs: 600 }),
    ]
    fillDisk(server)
    expect((await post(server.url, "/run", token, { prompt: "x" })).status).toBe(500)
    expect((await post(server.url, `/runs/${cancelled.id}/cancel`, token, {})).json.cancelled).toBe(true)
    const ends = [await endOf(cancelled), await endOf(late)]
    expect(ends).toMatchObject([
      { how: "ended", event: "result", data: { stop_reason: "cancelled" } },
      { how: "ended", event: "error", data: { code: "timeout", status: 504 } },
    ])
    expect(recorded(late.id)).toMatchObject({ status: "running", ends: 0 })
    const seen = await Promise.all(
      [cancelled, late].map(({ id }) => ask(server.url, "GET", `/runs/${id}`, token)),
    )
    expect(seen.map(({ json }) => [json.status, json.code])).toEqual([
      ["cancelled", null],
      ["timed_out", "timeout"],
    ])
    await readiness(server.url, (lines) => /fail database/.test(lines))
    // Who comes only now is told the same.
    const again = await openEvents(`${server.url}/runs/${late.id}/events`, { token })
    expect(await again.ended).toBe("ended")
    expect(again.events.at(-1)?.data).toBe(late.stream.events.at(-1)?.data)

    relieve(server)
    await readiness(server.url, (lines) => !/fail database/.test(lines))
    expect([recorded(cancelled.id), recorded(late.id)]).toEqual([
      { status: "cancelled", events: ["run.queued", "run.started", "run.cancelled"], ends: 1 },
      { status: "timed_out", events: ["run.queued", "run.started", "run.timed_out"], ends: 1 },
    ])
  })

  it("a token is revoked at once, with all that it has, and in one row later", async () => {
    const app = await mint(server.url, dataDir(), "diary")
    const open = await running(app, { timeout_secs: 600 })
    fillDisk(server)
    const revoked = await admin("DELETE", "/admin/tokens/diary")
    expect([revoked.status, revoked.json]).toEqual([200, { ok: true, name: "diary", already_revoked: false }])
    expect(await endOf(open)).toMatchObject({ how: "ended", event: "error", data: { code: "unauthorized" } })
    expect((await ask(server.url, "GET", "/sessions", app)).status).toBe(401)
    expect((await post(server.url, "/run", app, { prompt: "x" })).status).toBe(401)
    expect((await admin("DELETE", "/admin/tokens/diary")).json.already_revoked).toBe(true)
    const listed = (await admin("GET", "/admin/tokens")).json.tokens
    expect(listed.find(({ name }: any) => name === "diary").revoked_at).toEqual(expect.any(Number))
    expect(rows("SELECT revoked_at FROM tokens WHERE name = 'diary'")).toEqual([{ revoked_at: null }])

    relieve(server)
    await until(
      () => rows("SELECT 1 FROM tokens WHERE name = 'diary' AND revoked_at IS NOT NULL").length === 1,
    )
    expect(rows("SELECT 1 FROM events WHERE type = 'token.revoke'")).toHaveLength(1)
    await until(() => recorded(open.id).status === "cancelled")
    expect(recorded(open.id).ends).toBe(1)
    expect(await mint(server.url, dataDir(), "diary")).not.toBe(app)
  })

  it("a session is closed at once, and in one row later", async () => {
    const opened = await post(server.url, "/sessions", token, { agent: "echo" })
    const session = `/sessions/${opened.json.session_id}`
    expect((await post(server.url, `${session}/turn`, token, { prompt: "x" })).status).toBe(200)
    fillDisk(server)
    expect((await ask(server.url, "DELETE", session, token)).json).toMatchObject({ already_closed: false })
    expect((await ask(server.url, "DELETE", session, token)).json).toMatchObject({ already_closed: true })
    expect((await ask(server.url, "GET", session, token)).json.status).toBe("closed")
    expect((await post(server.url, `${session}/turn`, token, { prompt: "x" })).status).toBe(410)
    const open = await ask(server.url, "GET", "/sessions?include_closed=false", token)
    expect(open.json.sessions).toEqual([])

    relieve(server)
    await until(() => rows("SELECT 1 FROM sessions WHERE status <> 'closed'").length === 0)
    const closed = rows(
      `SELECT 1 FROM events WHERE type = 'session.close' AND session_id = '${opened.json.session_id}'`,
    )
    expect(closed).toHaveLength(1)
  })

  it("the service stops as asked, and says what was not written; the next one says that it is lost", async () => {
    const open = await running(token, { timeout_secs: 600 })
    fillDisk(server)
    expect(await server.end("SIGTERM")).toBe(0)
    expect(server.output()).toContain("are not written, and are lost")
    server = await start()
    expect(recorded(open.id)).toMatchObject({ status: "lost", ends: 1 })
  })
})
