import { HttpApiClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { Api } from "../../src/http/Api.ts"
import {
  Failure,
  Journal,
  Retention,
  Run,
  RunEngine,
  Runs,
  Session,
  SessionPool,
  Sweeper,
} from "../../src/index.ts"
import * as Mock from "../../src/testing.ts"

/** What the tests of an Effect program do. */

const origin = { requestId: "testing", address: "127.0.0.1" }
const owner = "0".repeat(26) as never

const opened = (prompt: string) =>
  Effect.flatMap(Runs, ({ open }) => open(Run.runRequest(prompt), owner, origin))

const asked = (prompt: string) => Effect.flatMap(opened(prompt), ({ answer }) => answer)

/** What an agent says in a turn, piece by piece. */
const texts = (events: ReadonlyArray<any>) =>
  events.flatMap(({ params }) => params?.update?.content?.text ?? [])

describe("a whole clawdforge as a layer", () => {
  /** A client of the API, as the app. */
  const client = Effect.flatMap(Mock.Forge, ({ url, token }) =>
    HttpApiClient.make(Api, {
      baseUrl: url,
      transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken(token)),
    }),
  )
  const run = (prompt: string, more: object = {}) =>
    Effect.flatMap(client, ({ run }) =>
      run.run({ payload: { prompt, ...more }, urlParams: {}, headers: {} } as never),
    )

  it.effect("answers the client that the API's own declaration makes", () =>
    Effect.gen(function* () {
      const { claude } = yield* Mock.Forge
      claude.nextAnswer('{"qty":2}')
      claude.nextFailure(new Failure.NotLoggedIn({}))
      expect(yield* run("Parse: 2 eggs")).toMatchObject({ result: { qty: 2 }, stop_reason: "end_turn" })
      expect(yield* Effect.flip(run("again"))).toMatchObject({ code: "not_logged_in", status: 503 })
      expect(claude.requests.map(({ prompt }) => prompt)).toEqual(["Parse: 2 eggs", "again"])
    }).pipe(Effect.provide(Mock.forge())),
  )

  it.effect("goes by the TestClock: a run that is held times out", () =>
    Effect.gen(function* () {
      const { claude, memory } = yield* Mock.Forge
      const held = claude.hold()
      const late = yield* Effect.fork(Effect.flip(run("hello", { timeout_secs: 5 })))
      yield* held.started
      yield* TestClock.adjust("4 seconds")
      expect(late.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(late)).toMatchObject({ code: "timeout", duration_ms: 5000 })
      expect([...memory.ledger.runs.values()].map(({ status }) => status)).toEqual(["timed_out"])
    }).pipe(Effect.provide(Mock.forge())),
  )

  it.effect("goes by the TestClock: the sweeper closes an idle session, and what was said is forgotten", () =>
    Effect.gen(function* () {
      const { memory } = yield* Mock.Forge
      const { sessions } = yield* client
      yield* run("say something")
      const opened = yield* sessions.openSession({ payload: {}, headers: {} } as never)
      yield* TestClock.adjust("12 seconds")
      expect([...memory.ledger.sessions.values()]).toMatchObject([
        { id: (opened as { session_id: string }).session_id, status: "closed", closedAt: 6000 },
      ])
      expect(memory.sessionDirs.size).toBe(0)
      expect(memory.ledger.streams.rows.filter(({ body }) => body !== null)).toEqual([])
    }).pipe(Effect.provide(Mock.forge({ sessionTtlSecs: 5, sweepIntervalSecs: 6, streamRetentionSecs: 4 }))),
  )

  it.effect("jumps, when its clock is manual: a year costs what a second does", () =>
    Effect.gen(function* () {
      const { advance, memory } = yield* Mock.Forge
      yield* run("hello")
      expect(memory.ledger.events.map(({ type }) => type)).toContain("run.completed")
      yield* advance("400 days")
      expect([memory.ledger.events, memory.ledger.streams.rows]).toEqual([[], []])
    }).pipe(Effect.provide(Mock.forge({ clock: "manual" }))),
  )

  it.effect("gives every service, to be asked or told directly", () =>
    Effect.gen(function* () {
      const { sweep } = yield* Sweeper
      expect(yield* sweep).toMatchObject({ closed: 0, failed: 0 })
      expect((yield* Retention).settings).toMatchObject({ eventMaxRows: 3 })
    }).pipe(Effect.provide(Mock.forge({ eventMaxRows: 3 }))),
  )

  it.effect("answers nobody any more once its scope is closed", () =>
    Effect.gen(function* () {
      const { fetch } = yield* Effect.provide(Mock.Forge, Mock.forge())
      const gone = yield* Effect.flip(Effect.tryPromise(() => fetch("/livez")))
      expect(gone.cause).toEqual(new TypeError("fetch failed"))
    }),
  )
})

describe("a scripted claude", () => {
  const runs = Runs.layer({ maxConcurrentRuns: 2 }).pipe(
    Layer.provideMerge(Layer.provideMerge(RunEngine.layer(), Layer.merge(Journal.layer, Mock.revocation))),
    Layer.provideMerge(Mock.scriptedClaude()),
    Layer.provide([
      Mock.ids,
      Mock.ledger(),
      Mock.loginMonitor(),
      Mock.noFiles,
      Mock.outputSchemas,
      Mock.workDirs,
    ]),
  )
  it.effect("answers, fails, and says what it was asked", () =>
    Effect.gen(function* () {
      const script = yield* Mock.ScriptedClaude
      script.nextAnswer("first", { text: "second", stopReason: "max_tokens" })
      script.nextFailure(new Failure.ProcessKilled({ signal: "SIGKILL" }))
      expect((yield* asked("one")).result).toBe("first")
      expect(yield* asked("two")).toMatchObject({ result: "second", stopReason: "max_tokens" })
      expect(yield* Effect.flip(asked("three"))).toMatchObject({ _tag: "ProcessKilled" })
      expect((yield* asked("four")).result).toBe("ok")
      expect(script.requests.map(({ prompt }) => prompt)).toEqual(["one", "two", "three", "four"])
    }).pipe(Effect.provide(runs)),
  )

  it.effect("fails the third of all, whatever was to come next", () =>
    Effect.gen(function* () {
      const script = yield* Mock.ScriptedClaude
      script.failNth(3, new Failure.ProcessFailed({ reason: "it broke" }))
      script.nextAnswer("a", "b", "c")
      const exits = yield* Effect.forEach(["1", "2", "3", "4"], (prompt) => Effect.exit(asked(prompt)))
      expect(exits.map(Exit.isSuccess)).toEqual([true, true, false, true])
      expect(exits.at(-1)).toMatchObject({ value: { result: "c" } })
    }).pipe(Effect.provide(runs)),
  )

  it.effect("keeps a run at work until it is let go: with an answer, a failure, or what it said", () =>
    Effect.gen(function* () {
      const script = yield* Mock.ScriptedClaude
      const [first, second, third] = [script.hold(), script.hold(), script.hold()]
      first.say("as ")
      first.say("said")
      first.release()
      expect((yield* asked("x")).result).toBe("as said")
      second.fail(new Failure.NotLoggedIn({}))
      expect(yield* Effect.flip(asked("x"))).toMatchObject({ _tag: "NotLoggedIn" })
      const run = yield* opened("x")
      expect((yield* third.started).prompt).toBe("x")
      yield* run.cancel
      expect(yield* run.answer).toMatchObject({ stopReason: "cancelled" })
      yield* third.ended
    }).pipe(Effect.provide(runs)),
  )
})

describe("scripted agents", () => {
  const agent = Session.AgentName.make("claude")
  const pool = SessionPool.layer({ agents: new Set([agent]) }).pipe(
    Layer.provideMerge(Layer.provideMerge(RunEngine.layer(), Layer.merge(Journal.layer, Mock.revocation))),
    Layer.provideMerge(Mock.scriptedAgents()),
    Layer.provide([Mock.ids, Mock.ledger(), Mock.loginMonitor(), Mock.noFiles, Mock.sessionDirs()]),
  )
  const session = Effect.flatMap(SessionPool, ({ open, turn }) =>
    Effect.map(
      open({ agent, model: null, meta: null, permissionMode: "deny-all" }, owner, origin),
      ({ id }) =>
        (prompt: string) =>
          turn(id, { prompt, timeoutSecs: 60, files: [] }, owner, origin),
    ),
  )

  it.effect("answer in pieces, fail the third turn, and are held up to their timeout", () =>
    Effect.gen(function* () {
      const script = yield* Mock.ScriptedAgents
      const turn = yield* session
      const pieces = script.hold()
      pieces.say("Once ")
      pieces.release("Once upon")
      expect(texts((yield* (yield* turn("one")).answer).events)).toEqual(["Once ", "upon"])

      script.failNth(3, new Failure.AgentUnavailable({ reason: "it is gone" }))
      yield* (yield* turn("two")).answer
      expect(yield* Effect.flip((yield* turn("three")).answer)).toMatchObject({ _tag: "AgentUnavailable" })

      const held = script.hold()
      const ended = yield* Deferred.make<void>()
      const { answer } = yield* turn("four")
      const late = yield* Effect.fork(
        Effect.ensuring(Effect.flip(answer), Deferred.succeed(ended, undefined)),
      )
      expect((yield* held.started).earlier).toEqual(["one", "two", "three"])
      yield* TestClock.adjust("60 seconds")
      expect(yield* Fiber.join(late)).toMatchObject({ _tag: "RunTimedOut", timeoutSecs: 60 })
      yield* held.ended
    }).pipe(Effect.provide(pool)),
  )
})
