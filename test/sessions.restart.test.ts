import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { said, scriptedAgent } from "./support/Sessions.ts"
import { ask, post, serviceUnderTest, until } from "./support/Service.ts"
import { processesOf } from "./support/ProcessTable.ts"
import { type StandInApi, startStandInApi } from "./support/StandInApi.ts"

/** Sessions outlive the service, however it ends; what was half done is cleaned up, and told. */

const { dataDir, runsDir, rows, start, mint } = serviceUnderTest()

const sessionsDir = () => join(dataDir(), "acpx-cwds")
const log = () => (existsSync(join(dataDir(), "log")) ? readFileSync(join(dataDir(), "log"), "utf8") : "")

const open = async (url: string, token: string, body: object = { agent: "scripted" }) => {
  const { status, json } = await post(url, "/sessions", token, body)
  expect([status, json]).toEqual([200, json])
  return json.session_id as string
}
const turn = (url: string, token: string, session: string, prompt: string) =>
  post(url, `/sessions/${session}/turn`, token, { prompt, timeout_secs: 60 })

describe.each(["direct", "acpx"])("sessions by way of %s", (backend) => {
  const scripted = (flags = "") => ({
    CLAWDFORGE_AGENT_BACKEND: backend,
    ACPX_BIN: "",
    CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir(), flags)}`,
    HOME: dataDir(),
  })

  /** By way of acpx a start costs seconds: there, only what differs is tried. */
  const isKept = backend === "direct"

  describe.each(isKept ? (["SIGKILL", "SIGTERM"] as const) : (["SIGKILL"] as const))(
    "after %s and a start",
    (signal) => {
      it("the fourth turn has the context of three", async () => {
        const first = await start(scripted())
        const token = await mint(first.url)
        const session = await open(first.url, token)
        for (const n of [1, 2, 3]) said(await turn(first.url, token, session, `SAY ${n}`))
        const before = processesOf(dataDir())
        expect(before.length).toBeGreaterThan(0)
        expect(await first.end(signal)).toBe(signal === "SIGTERM" ? 0 : signal)
        if (signal === "SIGTERM") expect(processesOf(dataDir())).toEqual([])

        const second = await start(scripted())
        expect(processesOf(dataDir())).toEqual([])
        expect((await ask(second.url, "GET", "/healthz", token)).json.open_sessions).toBe(1)
        const fourth = await turn(second.url, token, session, "RECALL")
        expect(fourth.json.turn_index).toBe(4)
        expect(JSON.parse(said(fourth))).toEqual(["SAY 1", "SAY 2", "SAY 3"])
        await ask(second.url, "DELETE", `/sessions/${session}`, token)
        expect(readdirSync(sessionsDir())).toEqual([])
      })

      describe("on the real adapter", () => {
        let api: StandInApi
        beforeAll(async () => {
          api = await startStandInApi()
        })
        afterAll(() => api.close())

        it("the fourth turn has the context of three", async () => {
          const env = {
            CLAWDFORGE_AGENT_BACKEND: backend,
            CLAUDE_BIN: "",
            ACPX_BIN: "",
            HOME: dataDir(),
            ANTHROPIC_BASE_URL: api.url,
            ANTHROPIC_API_KEY: "sk-test-key-0123456789",
          }
          const first = await start(env)
          const token = await mint(first.url)
          const session = await open(first.url, token, { permission_mode: "deny-all" })
          for (const n of [1, 2, 3]) said(await turn(first.url, token, session, `SAY pear-${n}`))
          await first.end(signal)

          const second = await start(env)
          expect(processesOf(dataDir())).toEqual([])
          expect(said(await turn(second.url, token, session, "SAY pear-4"))).toBe("pear-4")
          const received = api.requests.findLast(({ prompt }) => prompt === "SAY pear-4")
          expect(received?.raw).toMatch(/SAY pear-1.*SAY pear-2.*SAY pear-3/s)
          expect(said(await turn(second.url, token, session, "RUN touch made"))).toContain("tool failed")
          expect(await second.end("SIGTERM")).toBe(0)
          expect(processesOf(dataDir())).toEqual([])
        })
      })
    },
  )

  if (!isKept) return

  it("kill -9 in the middle of a turn: it is lost, the one behind it too, and the session goes on", async () => {
    const first = await start(scripted())
    const token = await mint(first.url)
    const session = await open(first.url, token)
    said(await turn(first.url, token, session, "SAY first"))
    const cut = ["DEAF 60000", "SAY never"].map((prompt) =>
      turn(first.url, token, session, prompt).catch(() => "cut"),
    )
    await until(() => log().split("session/prompt").length === 3)
    await until(() => rows("SELECT 1 FROM runs").length === 3)
    await first.end("SIGKILL")
    expect(await Promise.all(cut)).toEqual(["cut", "cut"])

    const second = await start(scripted())
    expect(processesOf(dataDir())).toEqual([])
    expect(rows("SELECT turn_index, status FROM runs ORDER BY turn_index")).toEqual([
      { turn_index: 1, status: "completed" },
      { turn_index: 2, status: "lost" },
      { turn_index: 3, status: "lost" },
    ])
    expect(
      rows("SELECT count(*) AS n, count(DISTINCT run_id) AS runs FROM events WHERE type = 'run.lost'"),
    ).toEqual([{ n: 2, runs: 2 }])
    const read = await ask(second.url, "GET", `/sessions/${session}`, token)
    expect(read.json).toMatchObject({ status: "open", turn_count: 3 })
    const next = await turn(second.url, token, session, "RECALL")
    expect(next.json.turn_index).toBe(4)
    expect(JSON.parse(said(next))[0]).toBe("SAY first")
  })

  it("kill -9 while a session opens: nothing is left of it", async () => {
    const first = await start(scripted("--hang-new"))
    const token = await mint(first.url)
    const cut = post(first.url, "/sessions", token, { agent: "scripted" }).catch(() => "cut")
    await until(() => log().includes("session/new"))
    expect(readdirSync(sessionsDir())).toHaveLength(1)
    await first.end("SIGKILL")
    expect(await cut).toBe("cut")

    const second = await start(scripted())
    expect(processesOf(dataDir())).toEqual([])
    expect(readdirSync(sessionsDir())).toEqual([])
    expect(readdirSync(runsDir())).toEqual([])
    expect(rows("SELECT id FROM sessions")).toEqual([])
    expect((await ask(second.url, "GET", "/healthz", token)).json.open_sessions).toBe(0)
    said(await turn(second.url, token, await open(second.url, token), "SAY here"))
  })

  it.each(["DEAF 60000", "HANG"])(
    "SIGTERM in the middle of a turn (%s): it is answered 503 after the grace, and nothing is left",
    async (prompt) => {
      const server = await start({ ...scripted(), SHUTDOWN_GRACE_SECS: "1" })
      const token = await mint(server.url)
      const session = await open(server.url, token)
      const answers = [prompt, "SAY never"].map((prompt) => turn(server.url, token, session, prompt))
      await until(() => log().includes("session/prompt"))
      await until(() => rows("SELECT 1 FROM runs").length === 2)
      const from = performance.now()
      expect(await server.end("SIGTERM")).toBe(0)
      expect(performance.now() - from).toBeLessThan(7000)
      for (const answer of await Promise.all(answers)) {
        expect([answer.status, answer.json.code]).toEqual([503, "shutting_down"])
      }
      expect(processesOf(dataDir())).toEqual([])
      expect(readdirSync(runsDir())).toEqual([])
      expect(rows("SELECT status FROM runs")).toEqual([{ status: "cancelled" }, { status: "cancelled" }])
      expect(rows("SELECT status FROM sessions")).toEqual([{ status: "open" }])
    },
  )

  it("SIGTERM while a session opens: it is answered, nothing is left of it", async () => {
    const server = await start(scripted("--hang-new"))
    const token = await mint(server.url)
    const answer = post(server.url, "/sessions", token, { agent: "scripted" }).catch(() => "cut")
    await until(() => log().includes("session/new"))
    const from = performance.now()
    expect(await server.end("SIGTERM")).toBe(0)
    expect(performance.now() - from).toBeLessThan(7000)
    expect(await answer).not.toMatchObject({ status: 200 })
    expect(processesOf(dataDir())).toEqual([])
    expect(readdirSync(sessionsDir())).toEqual([])
    expect(rows("SELECT id FROM sessions")).toEqual([])
  })

  it("SIGTERM in the middle of a turn that ends within the grace: it is answered", async () => {
    const server = await start({ ...scripted(), SHUTDOWN_GRACE_SECS: "10" })
    const token = await mint(server.url)
    const session = await open(server.url, token)
    const answer = turn(server.url, token, session, "SLOW 1500 SAY done")
    await until(() => log().includes("session/prompt"))
    expect(await server.end("SIGTERM")).toBe(0)
    expect(said(await answer)).toBe("done")
    expect(processesOf(dataDir())).toEqual([])
  })
})
