import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Duration, Effect, Fiber, Schedule } from "effect"
import { expectWithin, pace, turnsOfLoop } from "../support/Pace.ts"
import { processesOf } from "../support/ProcessTable.ts"
import {
  backends,
  reached,
  said,
  scriptedServer,
  shared,
  type ScriptedOptions,
  type ScriptedServer,
  type SessionApp,
} from "../support/Sessions.ts"
import { ADMIN_TOKEN, eventually, fileForm } from "../support/TestServer.ts"

/** The session routes on an agent that does as it is told: well, badly, or not at all. */

/** What an agent may not have, or not tell, is in the environment of every service of this file. */
Object.assign(process.env, {
  ADMIN_BOOTSTRAP_TOKEN: "secret",
  ANTHROPIC_API_KEY: "sk-test-key-0123456789",
  CLAUDECODE: "1",
  SOME_SECRET: "secret",
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Kills an agent with -9, and waits until the server, which is in this process, has seen it. */
const killed = (pid: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    process.kill(pid, "SIGKILL")
    yield* eventually(() => expect(isAlive(pid)).toBe(false))
    yield* Effect.promise(() => turnsOfLoop())
  })

const many = <A>(n: number, one: (index: number) => Effect.Effect<A>) =>
  Effect.all(
    Array.from({ length: n }, (_, index) => one(index)),
    { concurrency: "unbounded" },
  )

const millis = <A>(effect: Effect.Effect<A>) =>
  Effect.gen(function* () {
    const from = performance.now()
    const value = yield* effect
    return { value, took: performance.now() - from }
  })

/** The rows of the ledger, whoever may see them. */
const rows = (server: ScriptedServer, query: string): ReadonlyArray<any> => {
  const db = new Sqlite(server.config.dbPath, { readonly: true })
  try {
    return db.prepare(query).all()
  } finally {
    db.close()
  }
}

/** A patience that an agent's start and handshake do not use up. */
const afterHandshake = Effect.map(Effect.promise(pace), (times) =>
  Duration.seconds(Math.max(8, Math.ceil(times))),
)

/** Of a session that did not open. */
const nothingIsLeft = (server: ScriptedServer) => {
  expect(readdirSync(server.config.sessionsDir)).toEqual([])
  expect(rows(server, "SELECT id FROM sessions")).toEqual([])
}

describe.concurrent.each(backends)("sessions by way of %s", (agentBackend) => {
  const served = <A>(
    test: (server: ScriptedServer) => Effect.Effect<A>,
    options: ScriptedOptions = {},
  ): Effect.Effect<A> => Effect.scoped(Effect.flatMap(scriptedServer({ agentBackend, ...options }), test))

  /** An app that has a session, on a server of its own. */
  const withSession = <A>(
    test: (app: SessionApp, session: string, server: ScriptedServer) => Effect.Effect<A>,
    options: ScriptedOptions = {},
    opening: object = {},
  ): Effect.Effect<A> =>
    served(
      (server) =>
        Effect.gen(function* () {
          const app = yield* server.app("recipes")
          return yield* test(app, yield* app.opened(opening), server)
        }),
      options,
    )

  const common = shared(scriptedServer({ agentBackend }))
  let apps = 0

  /** An app of its own that has a session, with all that is its, on a server that tests have in common. */
  const inSession = <A>(
    test: (app: SessionApp, session: string, server: ScriptedServer) => Effect.Effect<A>,
    opening: object = {},
  ): Effect.Effect<A> =>
    Effect.gen(function* () {
      const name = `app-${++apps}`
      const app = yield* common().app(name)
      const session = yield* app.opened(opening)
      return yield* Effect.ensuring(
        test(app, session, common()),
        common().request("DELETE", `/admin/tokens/${name}`, { token: ADMIN_TOKEN }),
      )
    })

  describe("the events of a turn", () => {
    it.live("are what the agent sent between our prompt and its result, as it came, and nothing else", () =>
      inSession((app, session, server) =>
        Effect.gen(function* () {
          const first = yield* app.turn(session, "LATE SAY hello")
          expect(first.status).toBe(200)
          expect(first.headers.get("x-run-id")).toMatch(/^[0-9A-Z]{26}$/)
          const [update] = first.json.events
          const { sessionId } = update.params
          expect(first.json).toEqual({
            ok: true,
            session_id: session,
            turn_index: 1,
            events: [
              {
                jsonrpc: "2.0",
                method: "session/update",
                params: {
                  sessionId,
                  update: {
                    sessionUpdate: "agent_message_chunk",
                    content: { type: "text", text: "hello" },
                  },
                },
              },
              { jsonrpc: "2.0", id: expect.anything(), result: { stopReason: "end_turn" } },
            ],
            stop_reason: "end_turn",
            duration_ms: expect.any(Number),
          })
          yield* eventually(() => expect(server.log().some((line) => line.includes(" late "))).toBe(true))
          // The update is in the pipe. Wait until the server, which is in this process, has read it.
          yield* Effect.promise(() => turnsOfLoop())
          const second = yield* app.turn(session, "SAY again")
          expect([second.json.turn_index, said(second)]).toEqual([2, "again"])
          expect(second.text).not.toContain("too late")
        }),
      ),
    )

    it.live("have a cost, which is the turn's own, also if it is told after the result", () =>
      inSession((app, session, server) =>
        Effect.gen(function* () {
          const ask = (prompt: string) =>
            server.request("POST", `/sessions/${session}/turn?include=usage&events=none`, {
              token: app.token,
              body: { prompt },
            })
          const costs = Effect.map(
            server.request("GET", `/runs?session_id=${session}`, { token: app.token }),
            ({ json }) => json.runs.toReversed().map(({ cost_usd }: any) => cost_usd),
          )
          expect((yield* ask("COST 0.25 USAGE SAY one")).json).toMatchObject({
            usage: { input_tokens: 10, output_tokens: 5 },
            cost_usd: 0.25,
            model: "scripted-large",
          })
          expect((yield* ask("COST 0.35 SAY two")).json).toMatchObject({ usage: null, cost_usd: 0.1 })
          expect((yield* ask("COSTLATE 0.5 SAY three")).json).toMatchObject({ cost_usd: null, model: null })
          yield* Effect.repeat(costs, {
            until: (all) => all[2] !== null,
            schedule: Schedule.spaced("20 millis"),
          })
          expect(yield* costs).toEqual([0.25, 0.1, 0.15])
          expect((yield* ask("COST 0.6 SAY four")).json.cost_usd).toBe(0.1)
          expect((yield* ask("SAY five")).json.cost_usd).toBeNull()
          // It has begun to count anew.
          expect((yield* ask("COST 0.01 SAY six")).json.cost_usd).toBe(0.01)
          expect(yield* costs).toEqual([0.25, 0.1, 0.15, 0.1, null, 0.01])
          const runs = (yield* server.request("GET", `/runs?session_id=${session}`, { token: app.token }))
            .json.runs
          expect(runs.map(({ model }: any) => model)).toEqual([
            "scripted-large",
            null,
            "scripted-large",
            null,
            "scripted-large",
            "scripted-large",
          ])

          yield* app.close(session)
          const told = yield* server.request("GET", `/sessions/${session}/events`, { token: app.token })
          const types: ReadonlyArray<string> = told.text.match(/^event: .*$/gm) ?? []
          expect(types.filter((type) => type !== "event: session.message")).toEqual([
            "event: session.create",
            ...Array.from({ length: 6 }, () => "event: session.turn"),
            "event: session.close",
          ])
          // The cost that came after the result: before or after the end of its turn is stored.
          expect(types.filter((type) => type === "event: session.message")).toHaveLength(1)
          expect([3, 4]).toContain(types.indexOf("event: session.message"))
          expect(told.text).toContain('"amount":0.5')
        }),
      ),
    )

    it.live("have its requests, but not what we answered", () =>
      inSession((app, session) =>
        Effect.gen(function* () {
          const { json } = yield* app.turn(session, "PERM")
          const kinds = json.events.map((event: any) => event.params?.update?.sessionUpdate ?? event.method)
          expect(kinds).toEqual(["tool_call", "session/request_permission", "agent_message_chunk", undefined])
          expect(json.events[1].id).toBeDefined()
          expect(json.events[3].result).toEqual({ stopReason: "end_turn" })
        }),
      ),
    )

    it.live("have nothing of what an agent tells when it loads a session again", () =>
      withSession(
        (app, session) =>
          Effect.gen(function* () {
            const pid = Number(yield* app.say(session, "PID"))
            yield* killed(pid)
            const { json } = yield* app.turn(session, "RECALL")
            expect(JSON.parse(said({ status: 200, json }))).toEqual(["PID"])
            expect(json.events).toHaveLength(2)
          }),
        { flags: "--load" },
      ),
    )

    it.live.each<[string, string]>([
      ["REFUSE SAY no", "refusal"],
      ["MAXTOK SAY wor", "max_tokens"],
      ["USAGE SAY words", "end_turn"],
    ])("of %j end with why: %s", ([prompt, reason]) =>
      inSession((app, session) =>
        Effect.map(app.turn(session, prompt), ({ status, json }) => {
          expect([status, json.stop_reason, json.events.at(-1).result.stopReason]).toEqual([
            200,
            reason,
            reason,
          ])
        }),
      ),
    )

    it.live("are whole, whatever else the agent writes and however it writes it", () =>
      inSession((app, session) =>
        Effect.gen(function* () {
          expect(yield* app.say(session, "GARBAGE STDERR SAY after garbage")).toBe("after garbage")
          expect(yield* app.say(session, "EMOJI")).toBe("😀 naïve 漢字 👩‍👩‍👧")
          const words = "\u2028 “quoted” \\n \u0000 👩‍👩‍👧 \ud83d"
          expect(yield* app.say(session, `SAY ${words}`)).toBe(words)
        }),
      ),
    )
  })

  describe("an agent that asks for permission", () => {
    it.live.each<[string, string, string]>([
      ["approve-all", "PERM", "yes"],
      ["approve-all", "PERM READ", "yes"],
      ["approve-reads", "PERM", "no"],
      ["approve-reads", "PERM READ", "yes"],
      ["deny-all", "PERM", "no"],
      ["deny-all", "PERM READ", "no"],
    ])("in a session of %s, for %s, is told %s", ([permission_mode, prompt, told]) =>
      inSession(
        (app, session) =>
          Effect.map(app.say(session, prompt), (words) => expect(words).toBe(`permission ${told}`)),
        { permission_mode },
      ),
    )

    it.live("is told what each session's own mode says, in one process too", () =>
      inSession((app, yes) =>
        Effect.gen(function* () {
          const no = yield* app.opened({ permission_mode: "deny-all" })
          const answers = yield* Effect.all([app.say(yes, "PERM"), app.say(no, "PERM")], {
            concurrency: "unbounded",
          })
          expect(answers).toEqual(["permission yes", "permission no"])
        }),
      ),
    )
  })

  describe("an agent that fails", () => {
    it.live.each<[string, number, string, string]>([
      ["ERR please", 502, "turn_failed", "scripted error"],
      ["AUTH please", 503, "not_logged_in", "login"],
    ])("with an error (%j) is %i %s, and its session is usable", ([prompt, status, code, sentence]) =>
      inSession((app, session) =>
        Effect.gen(function* () {
          const failed = yield* app.turn(session, prompt)
          expect([failed.status, failed.json.code]).toEqual([status, code])
          expect(failed.json.error).toContain(sentence)
          expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual([prompt])
        }),
      ),
    )

    it.live("quoting the prompt and a secret is not quoted by us", () =>
      inSession((app, session) =>
        Effect.map(app.turn(session, "QUOTE the patient is Jane Roe"), ({ json, text }) => {
          expect(json.code).toBe("turn_failed")
          expect(text).not.toMatch(/Jane|Roe|sk-test-key/)
        }),
      ),
    )

    it.live.each<[string, string, number | undefined]>([
      ["CRASH", "exited with code 3", 3],
      ["KILL", "was ended by SIGKILL", undefined],
      ["NEST", "printed a line of more than 10000 levels", undefined],
    ])(
      "by dying (%s) is 502 turn_failed, and its session goes on with its context",
      ([word, sentence, exitCode]) =>
        inSession((app, session) =>
          Effect.gen(function* () {
            yield* app.say(session, "SAY first")
            const failed = yield* app.turn(session, `${word} second`)
            expect([failed.status, failed.json.code, failed.json.exit_code]).toEqual([
              502,
              "turn_failed",
              exitCode,
            ])
            expect(failed.json.error).toContain(sentence)
            expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual(["SAY first", `${word} second`])
            expect((yield* app.read(session)).json).toMatchObject({ status: "open", turn_count: 3 })
          }),
        ),
    )

    it.live("by being killed between two turns is started again, and nobody notices", () =>
      inSession((app, session) =>
        Effect.gen(function* () {
          yield* killed(Number(yield* app.say(session, "PID")))
          expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual(["PID"])
        }),
      ),
    )

    it.live("by losing a session in a turn is 502, and the next turn takes it up again", () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const other = yield* app.opened()
          const pid = yield* app.say(other, "PID")
          yield* app.say(session, "SAY one")
          const lost = yield* app.turn(session, "LOSE ERR")
          expect([lost.status, lost.json.code]).toEqual([502, "turn_failed"])
          expect(yield* app.say(session, "RECALL")).toBe('["SAY one","LOSE ERR"]')
          yield* app.say(session, "LOSE SAY two")
          const missed = yield* app.turn(session, "SAY three")
          expect([missed.status, missed.json.code]).toEqual([502, "turn_failed"])
          expect(yield* app.say(session, "RECALL")).toContain('"LOSE SAY two"')
          expect(yield* app.say(other, "PID")).toBe(pid)
          yield* app.close(session)
          expect(server.log().filter((line) => line.includes("session/close"))).toHaveLength(1)
        }),
      ),
    )

    it.live("to take a session up again is 502 agent_unavailable for ever, and never an empty context", () =>
      withSession(
        (app, session) =>
          Effect.gen(function* () {
            yield* killed(Number(yield* app.say(session, "PID")))
            for (const _ of [1, 2]) {
              const { status, json } = yield* app.turn(session, "RECALL")
              expect([status, json.code]).toEqual([502, "agent_unavailable"])
            }
            const fresh = yield* app.opened()
            expect(JSON.parse(yield* app.say(fresh, "RECALL"))).toEqual([])
          }),
        { flags: "--no-resume" },
      ),
    )

    it.live("before a session ever had a prompt is started again: there is no context to lose", () =>
      withSession(
        (app, session, server) =>
          Effect.gen(function* () {
            yield* killed(Number(server.log()[0]?.split(" ")[0]))
            expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual([])
          }),
        { flags: "--no-resume" },
      ),
    )
  })

  describe("a turn that takes too long", () => {
    it.live.each<[string, string, number]>([
      ["obeys", "SLOW 600000", 2000],
      ["is deaf to a cancel", "DEAF 600000", 12_000],
      ["hangs", "HANG", 12_000],
    ])("is 504 when its agent %s, and the session goes on with its context", ([, prompt, most]) =>
      inSession((app, session) =>
        Effect.gen(function* () {
          const pid = Number(yield* app.say(session, "PID"))
          // The prompt must reach the agent before the time is over.
          const timeout_secs = Math.ceil(yield* Effect.promise(pace))
          const { value, took } = yield* millis(app.turn(session, prompt, { timeout_secs }))
          expect([value.status, value.json.code]).toEqual([504, "timeout"])
          expect(value.json.duration_ms).toBeGreaterThanOrEqual(timeout_secs * 1000)
          yield* Effect.promise(() => expectWithin(took - timeout_secs * 1000, most))
          expect(isAlive(pid)).toBe(prompt.startsWith("SLOW"))
          expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual(["PID", prompt])
        }),
      ),
    )

    it.live("does not count the time in the queue", () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const timeout_secs = Math.max(4, Math.ceil(yield* Effect.promise(pace)))
          const first = yield* Effect.fork(app.say(session, `SLOW ${timeout_secs * 1250} SAY one`))
          yield* reached(server, 1)
          const second = yield* app.turn(session, "SLOW 100 SAY two", { timeout_secs })
          expect([yield* Fiber.join(first), said(second)]).toEqual(["one", "two"])
          expect(second.json.duration_ms).toBeLessThan(timeout_secs * 1000)
        }),
      ),
    )
  })

  describe("closing", () => {
    it.live.each<[string, string, number]>([
      // Less than the 4 s that one has which does not obey.
      ["obeys", "SLOW 60000", 4000],
      ["is deaf", "DEAF 60000", 13_000],
    ])("a session with turns cancels them, when the agent %s; again is fine", ([, prompt, most]) =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const working = yield* Effect.fork(app.turn(session, prompt))
          yield* reached(server, 1)
          const waiting = yield* Effect.fork(app.turn(session, "SAY never"))
          yield* eventually(() =>
            expect(rows(server, "SELECT id FROM runs WHERE status = 'queued'")).toHaveLength(1),
          )
          const { value, took } = yield* millis(many(2, () => app.close(session)))
          expect(value.map(({ status }) => status)).toEqual([200, 200])
          expect(value.map(({ json }) => json.already_closed).toSorted()).toEqual([false, true])
          yield* Effect.promise(() => expectWithin(took, most))
          for (const turn of [working, waiting]) {
            const { status, json } = yield* Fiber.join(turn)
            expect([status, json.stop_reason]).toEqual([200, "cancelled"])
          }
          expect(rows(server, "SELECT status FROM runs")).toEqual([
            { status: "cancelled" },
            { status: "cancelled" },
          ])
          expect(readdirSync(server.config.sessionsDir)).toEqual([])
          expect((yield* app.close(session)).json).toEqual({
            ok: true,
            session_id: session,
            already_closed: true,
          })
          const refused = yield* app.turn(session, "SAY more")
          expect([refused.status, refused.json.code]).toEqual([410, "session_closed"])
          expect(server.log().filter((line) => line.includes("session/prompt"))).toHaveLength(1)
        }),
      ),
    )

    it.live("one session leaves the others alone, in one process too", () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const other = yield* app.opened()
          const working = yield* Effect.fork(app.say(other, "SLOW 500 SAY done"))
          const cancelled = yield* Effect.fork(app.turn(session, "SLOW 60000"))
          yield* reached(server, 2)
          yield* app.close(session)
          expect((yield* Fiber.join(cancelled)).json.stop_reason).toBe("cancelled")
          expect(yield* Fiber.join(working)).toBe("done")
          expect(readdirSync(server.config.sessionsDir)).toEqual([other])
        }),
      ),
    )
  })

  it.live(
    "a client that hangs up does not end its turn: the ledger has it, and the next turn its context",
    () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const client = yield* Effect.fork(app.turn(session, "SLOW 400 SAY unheard"))
          yield* reached(server, 1)
          yield* Fiber.interrupt(client)
          expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual(["SLOW 400 SAY unheard"])
          expect(
            rows(server, "SELECT turn_index, status, stop_reason FROM runs ORDER BY turn_index"),
          ).toEqual([
            { turn_index: 1, status: "completed", stop_reason: "end_turn" },
            { turn_index: 2, status: "completed", stop_reason: "end_turn" },
          ])
        }),
      ),
  )

  describe("many at once", () => {
    it.live("20 turns of a session run one at a time, in the order of their indexes", () =>
      inSession((app, session) =>
        Effect.gen(function* () {
          const answers = yield* many(20, (n) => app.turn(session, `SLOW 10 SAY ${n}`))
          expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
          const byIndex = answers.toSorted((one, other) => one.json.turn_index - other.json.turn_index)
          expect(byIndex.map(({ json }) => json.turn_index)).toEqual(
            Array.from({ length: 20 }, (_, n) => n + 1),
          )
          const recalled = JSON.parse(yield* app.say(session, "RECALL"))
          expect(recalled).toEqual(byIndex.map((answer) => `SLOW 10 SAY ${said(answer)}`))
        }),
      ),
    )

    it.live("50 sessions at a cap of 8: exactly 8 open, and a closed one makes room", () =>
      served(
        (server) =>
          Effect.gen(function* () {
            const apps = [yield* server.app("recipes"), yield* server.app("shopping")]
            const answers = yield* many(50, (n) => apps[n % 2]!.open())
            const opened = answers.filter(({ status }) => status === 200)
            const refused = answers.filter(({ status }) => status !== 200)
            expect(opened).toHaveLength(8)
            expect(new Set(refused.map(({ status, json }) => `${status} ${json.code}`))).toEqual(
              new Set(["503 pool_full"]),
            )
            expect(refused[0]?.headers.get("retry-after")).toMatch(/^\d+$/)
            expect(readdirSync(server.config.sessionsDir)).toHaveLength(8)
            expect(rows(server, "SELECT status, count(*) AS n FROM sessions GROUP BY status")).toEqual([
              { status: "open", n: 8 },
            ])
            expect((yield* server.request("GET", "/healthz")).json.open_sessions).toBe(8)
            const mine = yield* server.request("GET", "/sessions", { token: apps[0]!.token })
            yield* apps[0]!.close(mine.json.sessions[0].session_id)
            expect((yield* apps[1]!.open()).status).toBe(200)
          }),
        { maxLiveSessions: 8 },
      ),
    )

    it.live("turns beyond the queue are 409 session_busy, and those in it are not harmed", () =>
      withSession(
        (app, session, server) =>
          Effect.gen(function* () {
            const steps = join(server.dir, "steps")
            const first = yield* Effect.fork(app.turn(session, `STEP ${steps} 1`))
            yield* reached(server, 1)
            let refused = 0
            const asking = yield* Effect.fork(
              many(5, (n) =>
                Effect.tap(app.turn(session, `SAY ${n}`), ({ status }) => {
                  if (status !== 200) refused += 1
                }),
              ),
            )
            yield* eventually(() => expect(refused).toBe(3))
            mkdirSync(steps)
            writeFileSync(join(steps, "0"), "")
            const answers = yield* Fiber.join(asking)
            const codes = answers.map(({ status, json }) => (status === 200 ? 200 : `${status} ${json.code}`))
            expect(codes.toSorted()).toEqual([
              200,
              200,
              "409 session_busy",
              "409 session_busy",
              "409 session_busy",
            ])
            expect(said(yield* Fiber.join(first))).toMatch(/^0 /)
            expect((yield* app.read(session)).json.turn_count).toBe(3)
          }),
        { maxQueuedTurns: 2 },
      ),
    )
  })

  describe("the model", () => {
    it.live("is the one that was asked for, if the agent offers it, after its process has died too", () =>
      withSession(
        (app, session) =>
          Effect.gen(function* () {
            expect(yield* app.say(session, "SAY-MODEL")).toBe("large")
            yield* killed(Number(yield* app.say(session, "PID")))
            expect(yield* app.say(session, "SAY-MODEL")).toBe("large")
            expect(yield* app.say(yield* app.opened(), "SAY-MODEL")).toBe("small")
          }),
        { flags: "--models small,large" },
        { model: "large" },
      ),
    )

    it.live.each(["--models small,large", ""])(
      "is 400 when the agent does not offer it (%j), and nothing is left of the session",
      (flags) =>
        served(
          (server) =>
            Effect.gen(function* () {
              const app = yield* server.app("recipes")
              const { status, json } = yield* app.open({ model: "medium" })
              expect([status, json.code]).toEqual([400, "model_not_found"])
              nothingIsLeft(server)
            }),
          { flags },
        ),
    )
  })

  describe("an agent that does not open a session", () => {
    const never = Duration.minutes(10)
    it.live.each<[string, string, Effect.Effect<Duration.Duration>, string]>([
      [
        "is silent at the handshake",
        "--silent",
        Effect.succeed(Duration.seconds(1)),
        "did not answer the handshake within 1 s",
      ],
      ["fails", "--fail-new", Effect.succeed(never), "scripted failure"],
      ["never answers", "--hang-new", afterHandshake, "did not answer within "],
    ])(
      "because it %s is 502 agent_unavailable in time, and gives its place back",
      ([, flags, patience, sentence]) =>
        Effect.flatMap(patience, (openTimeout) =>
          served(
            (server) =>
              Effect.gen(function* () {
                const app = yield* server.app("recipes")
                const waits = openTimeout === never ? 0 : Duration.toMillis(openTimeout)
                for (const _ of [1, 2]) {
                  const { value, took } = yield* millis(app.open())
                  expect([value.status, value.json.code]).toEqual([502, "agent_unavailable"])
                  expect(value.json.error).toContain(sentence)
                  yield* Effect.promise(() => expectWithin(took - waits, 7000))
                  nothingIsLeft(server)
                }
                expect((yield* server.request("GET", "/healthz")).json.open_sessions).toBe(0)
                yield* eventually(() => {
                  expect(processesOf(server.dir)).toEqual([])
                  expect(readdirSync(server.config.runsDir)).toEqual([])
                })
              }),
            { flags, openTimeout, maxLiveSessions: 1, agentIdleSecs: 0 },
          ),
        ),
    )

    it.live("because its client is gone leaves nothing", () =>
      served(
        (server) =>
          Effect.gen(function* () {
            const app = yield* server.app("recipes")
            const client = yield* Effect.fork(app.open())
            yield* eventually(() => expect(server.log().join()).toContain("session/new"))
            yield* Fiber.interrupt(client)
            yield* eventually(() => nothingIsLeft(server))
          }),
        { flags: "--hang-new", openTimeout: Duration.seconds(15) },
      ),
    )

    it.live("because its app's token is revoked meanwhile leaves nothing, no process either", () =>
      served(
        (server) =>
          Effect.gen(function* () {
            const app = yield* server.app("recipes")
            const opening = yield* Effect.fork(app.open())
            yield* eventually(() => expect(server.log().join()).toContain("initialize"))
            yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
            expect((yield* Fiber.join(opening)).status).toBe(401)
            nothingIsLeft(server)
            yield* eventually(() => expect(processesOf(server.dir)).toEqual([]))
          }),
        { flags: "--slow-start 4000" },
      ),
    )

    it.live("because its client is gone, and its app's token revoked, leaves no process", () =>
      served(
        (server) =>
          Effect.gen(function* () {
            const app = yield* server.app("recipes")
            const client = yield* Effect.fork(app.open())
            yield* eventually(() => expect(server.log().join()).toContain("initialize"))
            yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
            yield* Fiber.interrupt(client)
            yield* eventually(() => nothingIsLeft(server))
            yield* eventually(() => expect(processesOf(server.dir)).toEqual([]))
          }),
        { flags: "--slow-start 30000" },
      ),
    )

    it.live("because it is not there is 502, because nobody offers it 400", () =>
      served((server) =>
        Effect.gen(function* () {
          const app = yield* server.app("recipes")
          const unknown = yield* app.open({ agent: "codex" })
          expect([unknown.status, unknown.json.issues[0].path]).toEqual([400, ["agent"]])
          nothingIsLeft(server)
        }),
      ),
    )
  })

  describe("attached files", () => {
    it.live("are listed before the prompt, in a directory of the turn, which goes with the session", () =>
      inSession((app, session, server) =>
        Effect.gen(function* () {
          const upload = yield* server.upload(app.token, fileForm("two cups of flour", "Rezept für Brot.txt"))
          const files = [upload.json.file_token]
          yield* app.say(session, "SAY first")
          yield* app.say(session, "SAY second", { files })
          const dir = join(server.config.sessionsDir, session)
          expect(JSON.parse(yield* app.say(session, "RECALL"))[1]).toBe(
            `[Attached files]\n- ${dir}/attached-2/file-1.txt (uploaded as "Rezept für Brot.txt")\n\nSAY second`,
          )
          expect(JSON.parse(yield* app.say(session, "CWD"))[0]).toBe(dir)
          expect(existsSync(`${dir}/attached-2/file-1.txt`)).toBe(true)
          yield* app.close(session)
          expect(existsSync(dir)).toBe(false)
        }),
      ),
    )

    it.live("of another app do not exist, and a turn with them is none", () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const other = yield* server.app("shopping")
          const upload = yield* server.upload(other.token, fileForm("mine"))
          const { status, json } = yield* app.turn(session, "SAY it", { files: [upload.json.file_token] })
          expect([status, json.code]).toEqual([404, "not_found"])
          expect((yield* app.read(session)).json.turn_count).toBe(0)
        }),
      ),
    )
  })

  describe("an agent's process", () => {
    it.live("is never shared by two apps, nor is a session", () =>
      inSession((app, session, server) =>
        Effect.gen(function* () {
          const other = yield* server.app("shopping")
          const theirs = yield* other.opened()
          const pids = yield* Effect.all([app.say(session, "PID"), other.say(theirs, "PID")])
          expect(pids[0]).not.toBe(pids[1])
          const answers = yield* Effect.all([
            other.turn(session, "RECALL"),
            other.read(session),
            other.close(session),
          ])
          expect(answers.map(({ status }) => status)).toEqual([404, 404, 404])
        }),
      ),
    )

    it.live("gets of our environment what it may, and offers of ours what we serve: nothing", () =>
      withSession((app, session, server) =>
        Effect.gen(function* () {
          const names: ReadonlyArray<string> = JSON.parse(yield* app.say(session, "ENV"))
          const expected =
            /^(PATH|HOME|LANG|LC_.*|TZ|TMPDIR|NODE_EXTRA_CA_CERTS|.*_proxy|ANTHROPIC_.*|CLAUDE_.*|AWS_.*|GOOGLE_.*|CLOUD_ML_REGION|IS_SANDBOX|DISABLE_AUTOUPDATER|CLAWDFORGE_PROCESS)$/i
          expect(names.filter((name) => !expected.test(name))).toEqual([])
          expect(names).not.toContain("CLAUDE_BIN")
          if (agentBackend === "direct")
            expect(server.log().find((line) => line.includes("initialize"))).not.toContain("true")
        }),
      ),
    )

    it.live("is ended when nobody has used it for a while, and its sessions go on in a new one", () =>
      withSession(
        (app, session, server) =>
          Effect.gen(function* () {
            const pid = Number(yield* app.say(session, "PID"))
            yield* eventually(() => expect(processesOf(server.dir)).toEqual([]))
            expect(Number(yield* app.say(session, "PID"))).not.toBe(pid)
            expect(JSON.parse(yield* app.say(session, "RECALL"))).toEqual(["PID", "PID"])
          }),
        { agentIdleSecs: 1 },
      ),
    )

    it.live("that is not kept at all is kept from a session's opening to its prompt", () =>
      withSession(
        (app, session) =>
          Effect.gen(function* () {
            for (const n of [1, 2, 3]) expect(yield* app.say(session, `SAY ${n}`)).toBe(`${n}`)
          }),
        { agentIdleSecs: 0 },
      ),
    )

    it.live("is not ended in the middle of a turn that takes longer than that", () =>
      withSession(
        (app, session) =>
          Effect.map(app.say(session, "SLOW 2500 SAY done"), (words) => expect(words).toBe("done")),
        { agentIdleSecs: 1 },
      ),
    )

    it.live(
      "takes with it what it has started when its app's token is revoked, and its sessions are closed",
      () =>
        withSession((app, session, server) =>
          Effect.gen(function* () {
            const other = yield* server.app("shopping")
            const theirs = yield* other.opened()
            const child = Number(yield* app.say(session, "CHILD"))
            const working = yield* Effect.fork(app.turn(session, "SLOW 60000"))
            yield* reached(server, 2)
            expect(isAlive(child)).toBe(true)
            yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
            expect((yield* Fiber.join(working)).status).toBe(401)
            yield* eventually(() => {
              expect(processesOf(server.dir)).toHaveLength(1)
              expect(readdirSync(server.config.sessionsDir)).toEqual([theirs])
              expect(rows(server, "SELECT status FROM sessions ORDER BY created_at")).toEqual([
                { status: "closed" },
                { status: "open" },
              ])
            })
            expect(yield* other.say(theirs, "SAY still here")).toBe("still here")
          }),
        ),
    )
  })
})
