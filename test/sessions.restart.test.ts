import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { said, scriptedAgent } from "./support/Scripted.ts"
import { ask, post, readiness, serviceUnderTest, until, withService } from "./support/Service.ts"
import { expectWithin } from "./support/Pace.ts"
import { isSoak } from "./support/Scale.ts"
import { argumentsOf, claudeProcesses, processesOf } from "./support/ProcessTable.ts"
import type { ServerProcess } from "./support/ServerProcess.ts"
import { type StandInApi, startStandInApi } from "./support/StandInApi.ts"

/** Sessions outlive the service, however it ends; what was half done is cleaned up, and told. */

const openSession = async (url: string, token: string, body: object) => {
  const { status, json } = await post(url, "/sessions", token, body)
  expect([status, json]).toEqual([200, json])
  return json.session_id as string
}
const turnOf = (url: string, token: string, session: string, prompt: string) =>
  post(url, `/sessions/${session}/turn`, token, { prompt, timeout_secs: 60 })

/** How many prompts the scripted agents that log there have had. */
const promptsIn = (dir: string) =>
  (existsSync(join(dir, "log")) ? readFileSync(join(dir, "log"), "utf8") : "").split("session/prompt")
    .length - 1

/** By way of acpx a start costs seconds: there, only what differs is tried. */
describe.each([
  ["direct", "SIGKILL"] as const,
  ...(isSoak ? [["direct", "SIGTERM"] as const] : []),
  ["acpx", "SIGKILL"] as const,
])("sessions by way of %s, after %s and a start", (backend, signal) => {
  const { dataDir, runsDir, rows, start, mint } = serviceUnderTest("file")
  const sessionsDir = () => join(dataDir(), "acpx-cwds")
  const hangingDir = () => join(dataDir(), "hanging")
  const isDirect = backend === "direct"

  let api: StandInApi
  let token: string
  let second: ServerProcess
  /** Sessions that had their turns, of the scripted agent and of the real adapter. */
  let scripted: string
  let real: string
  /** Sessions with a turn at work, and one behind it, when the service ended. */
  const working: Array<string> = []
  /** What was answered to these turns, and to a session that was about to open. */
  let turns: ReadonlyArray<Awaited<ReturnType<typeof turnOf>> | "cut">
  let opening: Awaited<ReturnType<typeof post>> | "cut" | undefined
  /** What was seen at the end of the service, and after its next start. */
  let atEnd: { readonly code: number | string; readonly millis: number; readonly left: object }
  let leftAtStart: ReadonlyArray<number>
  let openSessions: number
  let rowsAtStart: ReadonlyArray<unknown>
  let directories: ReadonlyArray<string>

  beforeAll(async () => {
    api = await startStandInApi()
    mkdirSync(hangingDir())
    const agents = [
      "claude",
      `scripted=${scriptedAgent(dataDir())}`,
      `hanging=${scriptedAgent(hangingDir(), "--hang-new")}`,
    ]
    const env = {
      CLAWDFORGE_AGENT_BACKEND: backend,
      CLAWDFORGE_AGENTS: agents.join(","),
      CLAUDE_BIN: "",
      ACPX_BIN: "",
      HOME: dataDir(),
      ANTHROPIC_BASE_URL: api.url,
      ANTHROPIC_API_KEY: "sk-test-key-0123456789",
      SHUTDOWN_GRACE_SECS: "1",
    }
    const first = await start(env)
    token = await mint(first.url)
    scripted = await openSession(first.url, token, { agent: "scripted" })
    real = await openSession(first.url, token, { agent: "claude", permission_mode: "deny-all" })
    for (const n of [1, 2, 3]) {
      said(await turnOf(first.url, token, scripted, `SAY ${n}`))
      said(await turnOf(first.url, token, real, `SAY pear-${n}`))
    }
    const asked: Array<Promise<(typeof turns)[number]>> = []
    let hanging: Promise<NonNullable<typeof opening>> | undefined
    if (isDirect) {
      for (const prompt of ["DEAF 60000", "HANG"]) {
        const session = await openSession(first.url, token, { agent: "scripted" })
        working.push(session)
        said(await turnOf(first.url, token, session, "SAY first"))
        const prompts = promptsIn(dataDir())
        const queued = rows("SELECT 1 FROM runs").length
        for (const words of [prompt, "SAY never"])
          asked.push(turnOf(first.url, token, session, words).catch(() => "cut" as const))
        await until(() => promptsIn(dataDir()) === prompts + 1)
        await until(() => rows("SELECT 1 FROM runs").length === queued + 2)
      }
      hanging = post(first.url, "/sessions", token, { agent: "hanging" }).catch(() => "cut" as const)
      await until(
        () =>
          existsSync(join(hangingDir(), "log")) &&
          readFileSync(join(hangingDir(), "log"), "utf8").includes("session/new"),
      )
      expect(readdirSync(sessionsDir())).toHaveLength(5)
    }
    expect(processesOf(dataDir()).length).toBeGreaterThan(0)
    const from = performance.now()
    const code = await first.end(signal)
    atEnd = {
      code,
      millis: performance.now() - from,
      left: {
        processes: signal === "SIGTERM" ? processesOf(dataDir()) : [],
        runs: signal === "SIGTERM" ? readdirSync(runsDir()) : [],
      },
    }
    turns = await Promise.all(asked)
    opening = await hanging

    second = await start(env)
    leftAtStart = processesOf(dataDir())
    openSessions = (await ask(second.url, "GET", "/healthz", token)).json.open_sessions
    rowsAtStart = rows("SELECT status, count(*) AS n FROM sessions GROUP BY status")
    directories = readdirSync(sessionsDir())
  })
  afterAll(() => api.close())

  const turn = (session: string, prompt: string) => turnOf(second.url, token, session, prompt)

  it("no process is left, and every session that was open is", () => {
    expect(atEnd.code).toBe(signal === "SIGTERM" ? 0 : signal)
    expect(atEnd.left).toEqual({ processes: [], runs: [] })
    expect(leftAtStart).toEqual([])
    expect(claudeProcesses(runsDir())).toEqual([])
    expect(readdirSync(runsDir())).toEqual([])
    expect(rows("SELECT id FROM runs WHERE status IN ('queued', 'running')")).toEqual([])
    expect(openSessions).toBe(2 + working.length)
    expect(rowsAtStart).toEqual([{ status: "open", n: 2 + working.length }])
  })

  if (isDirect) {
    it("nothing is left of a session that was about to open", async () => {
      if (signal === "SIGKILL") expect(opening).toBe("cut")
      else expect(opening).not.toMatchObject({ status: 200 })
      expect(directories.toSorted()).toEqual([scripted, real, ...working].toSorted())
      expect(rows("SELECT id FROM sessions WHERE agent = 'hanging'")).toEqual([])
      const { json } = await ask(second.url, "GET", "/sessions", token)
      expect(json.sessions.map((session: any) => session.session_id).toSorted()).toEqual(
        [scripted, real, ...working].toSorted(),
      )
      expect(processesOf(dataDir()).filter((pid) => argumentsOf(pid).includes("--hang-new"))).toEqual([])
    })

    it("turns that were at work, and those behind them, were told so, and their sessions go on", async () => {
      if (signal === "SIGTERM") {
        // Of an agent that is deaf, the grace of 1 s, and what its process may take.
        await expectWithin(atEnd.millis, 7000)
        for (const answer of turns)
          expect(answer).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      } else expect(turns).toEqual(Array(4).fill("cut"))
      const status = signal === "SIGTERM" ? "cancelled" : "lost"
      for (const session of working) {
        expect(
          rows(`SELECT turn_index, status FROM runs WHERE session_id = '${session}' ORDER BY turn_index`),
        ).toEqual([
          { turn_index: 1, status: "completed" },
          { turn_index: 2, status },
          { turn_index: 3, status },
        ])
        const read = await ask(second.url, "GET", `/sessions/${session}`, token)
        expect(read.json).toMatchObject({ status: "open", turn_count: 3 })
        const next = await turn(session, "RECALL")
        expect(next.json.turn_index).toBe(4)
        expect(JSON.parse(said(next))[0]).toBe("SAY first")
        expect(said(next)).not.toContain("SAY never")
        const later = await ask(second.url, "GET", `/sessions/${session}`, token)
        expect(later.json.turn_count).toBe(4)
      }
      expect(
        rows(`SELECT count(*) AS n, count(DISTINCT run_id) AS runs FROM events WHERE type = 'run.${status}'`),
      ).toEqual([{ n: 4, runs: 4 }])
    })

    it("a session can be opened", async () => {
      const session = await openSession(second.url, token, { agent: "scripted" })
      const first = await turn(session, "SAY here")
      expect([first.json.turn_index, said(first)]).toEqual([1, "here"])
      expect(readdirSync(sessionsDir())).toContain(session)
      const { json } = await ask(second.url, "GET", "/healthz", token)
      expect(json.open_sessions).toBe(openSessions + 1)
    })
  }

  it("the fourth turn has the context of three", async () => {
    const fourth = await turn(scripted, "RECALL")
    expect(fourth.json.turn_index).toBe(4)
    expect(JSON.parse(said(fourth))).toEqual(["SAY 1", "SAY 2", "SAY 3"])
    const closed = await ask(second.url, "DELETE", `/sessions/${scripted}`, token)
    expect([closed.status, closed.json.already_closed]).toEqual([200, false])
    expect(readdirSync(sessionsDir())).not.toContain(scripted)
    const read = await ask(second.url, "GET", `/sessions/${scripted}`, token)
    expect(read.json).toMatchObject({ status: "closed", turn_count: 4 })
    const refused = await turn(scripted, "SAY more")
    expect([refused.status, refused.json.code]).toEqual([410, "session_closed"])
  })

  it("the fourth turn has the context of three, on the real adapter, and what it may not do", async () => {
    expect(said(await turn(real, "SAY pear-4"))).toBe("pear-4")
    const received = api.requests.findLast(({ prompt }) => prompt === "SAY pear-4")
    expect(received?.raw).toMatch(/SAY pear-1.*SAY pear-2.*SAY pear-3/s)
    expect(said(await turn(real, "RUN touch made"))).toContain("tool failed")
    expect(existsSync(join(sessionsDir(), real, "made"))).toBe(false)
    const read = await ask(second.url, "GET", `/sessions/${real}`, token)
    expect(read.json).toMatchObject({ status: "open", turn_count: 5 })
    expect(await second.end("SIGTERM")).toBe(0)
    expect(processesOf(dataDir())).toEqual([])
  })
})

it(
  "a turn that ends within the grace of the service is answered",
  withService(async ({ dataDir, start, mint }) => {
    const server = await start({
      CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`,
      SHUTDOWN_GRACE_SECS: "60",
    })
    const token = await mint(server.url)
    const session = await openSession(server.url, token, { agent: "scripted" })
    const steps = join(dataDir(), "steps")
    const answer = turnOf(server.url, token, session, `STEP ${steps} 1`)
    await until(() => promptsIn(dataDir()) === 1)
    const code = server.end("SIGTERM")
    await readiness(server.url, (lines) => lines.includes("is stopping"))
    mkdirSync(steps)
    writeFileSync(join(steps, "0"), "")
    expect(await code).toBe(0)
    expect(said(await answer)).toMatch(/^0 /)
    expect(processesOf(dataDir())).toEqual([])
  }),
)
