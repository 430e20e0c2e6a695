import { HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Option, Redacted } from "effect"
import {
  AgentUnavailable,
  ExecutableMissing,
  InvalidRequest,
  NotLoggedIn,
  RunTimedOut,
  ShuttingDown,
  StorageFailed,
  TurnFailed,
  type TurnFailure,
  Unauthorized,
} from "../../src/domain/Failure.ts"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { serve } from "../../src/http/Server.ts"
import { Admission } from "../../src/services/access/Admission.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import { TokenStore } from "../../src/services/access/TokenStore.ts"
import * as Mock from "../../src/testing.ts"
import { scale } from "../support/Scale.ts"
import { expectWithin } from "../support/Pace.ts"
import { eventually } from "../support/TestServer.ts"

const appNamed = (name: string): AppToken => ({
  id: name.toUpperCase().padStart(26, "0") as TokenId,
  name: name as TokenName,
  ipCidrs: [],
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: null,
})

/** Lets an app in by its bare name. */
const admission = Layer.succeed(Admission, {
  clientOf: ({ address }) => ({ address, local: true }),
  admitAddress: () => Effect.void,
  siteOf: () => ({}),
  admitSite: () => Effect.void,
  admitApp: (bearer) =>
    Option.match(bearer, {
      onNone: () => new Unauthorized(),
      onSome: (name) => Effect.succeed(appNamed(Redacted.value(name))),
    }),
  isAdmin: () => false,
  admitAdmin: () => Effect.void,
})

interface Asked {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: any
}

type Pool = ReturnType<typeof Mock.sessionPool>

/** The HTTP API on a mocked pool, and a client of it that is the app `recipes` unless it says otherwise. */
const servedOn = (pool: Pool, log: Array<Record<string, unknown>> = []) =>
  Effect.gen(function* () {
    const lines = Logger.make<unknown, void>(
      ({ annotations }) => void log.push(Object.fromEntries(annotations)),
    )
    const tokens = Layer.mock(TokenStore, {
      revoke: (name) => Effect.succeed(Option.some(appNamed(name).id)),
    })
    const service = serve({ model: "sonnet", timeoutSecs: 5 }).pipe(
      Layer.provideMerge(Mock.inMemoryServer),
      Layer.provide(HttpServer.layerContext),
      Layer.provide([
        admission,
        Mock.noFiles,
        Mock.runEngine,
        Mock.runs(Effect.die("no run is asked for")),
        tokens,
        Mock.clis({ claude: Option.some("mock"), acpx: Option.none() }),
        Mock.loginMonitor(),
        Mock.readiness(),
        Mock.retention,
        Mock.idempotency,
        Layer.provideMerge(Journal.layer, Mock.ledger()),
        Mock.webRequestBody({ json: 100_000, form: 100_000 }),
      ]),
      Layer.provide(pool),
      Layer.provide([Mock.ids, Layer.provide(Revocation.layer, tokens)]),
      Layer.provide(Logger.replace(Logger.defaultLogger, lines)),
    )
    const { handle } = Context.get(yield* Layer.build(service), Mock.InMemoryServer)
    return (method: string, path: string, body?: unknown, as = "recipes", accept = "*/*") =>
      Effect.promise(async (signal): Promise<Asked> => {
        const request = new Request(`http://clawdforge.test${path}`, {
          method,
          signal,
          headers: {
            "content-type": "application/json",
            authorization: `Bearer ${as}`,
            "x-request-id": "the-same",
            accept,
          },
          ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        })
        const response = await handle(request)
        const text = await response.text()
        return { status: response.status, headers: response.headers, text, json: JSON.parse(text) }
      })
  })

const echo = Mock.sessionPool(({ prompt }) => Effect.succeed(Mock.turnReport(`you said ${prompt}`)))

/** A pool that can do that and nothing else. */
const poolWith = (methods: Partial<Context.Tag.Service<SessionPool>>) =>
  Layer.mock(SessionPool, methods as never)

const UNKNOWN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

const opened = (ask: Effect.Effect.Success<ReturnType<typeof servedOn>>, body: object = {}) =>
  Effect.map(ask("POST", "/sessions", body), ({ json }) => json.session_id as string)

const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`

describe("POST /sessions", () => {
  it.live("answers with what v0.2 did, in its order", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const { status, headers, text, json } = yield* ask("POST", "/sessions", {})
      expect([status, headers.get("content-type")]).toEqual([200, "application/json; charset=utf-8"])
      expect(text).toBe(
        `{"ok":true,"session_id":"${json.session_id}","agent":"claude","model":"sonnet","meta":null,"created_at":${json.created_at}}`,
      )
      expect(json.session_id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      expect(Math.abs(json.created_at - Date.now() / 1000)).toBeLessThan(60)
    }).pipe(Effect.scoped),
  )

  it.live("passes on what was asked for, takes null as absent, and has a default model for claude only", () =>
    Effect.gen(function* () {
      const seen: Array<Mock.MockTurn> = []
      const ask = yield* servedOn(
        Mock.sessionPool((turn) => Effect.sync(() => (seen.push(turn), Mock.turnReport("")))),
      )
      const all = { agent: "codex", model: "opus", meta: { user: "ada" }, permission_mode: "deny-all" }
      const none = { agent: null, model: null, meta: null, permission_mode: null }
      for (const body of [all, none, { agent: "codex" }]) {
        const id = yield* opened(ask, body)
        expect((yield* ask("POST", `/sessions/${id}/turn`, { prompt: "x" })).status).toBe(200)
      }
      yield* ask("POST", `/sessions/${seen[1]?.session.id}/turn`, {
        prompt: "y",
        files: ["ff_1"],
        timeout_secs: 9,
      })
      expect(seen).toMatchObject([
        {
          session: { agent: "codex", model: "opus", meta: { user: "ada" }, permissionMode: "deny-all" },
          prompt: "x",
          files: [],
          timeoutSecs: 5,
        },
        {
          session: { agent: "claude", model: "sonnet", meta: null, permissionMode: "approve-all" },
          index: 1,
        },
        { session: { agent: "codex", model: null } },
        { prompt: "y", files: ["ff_1"], timeoutSecs: 9, index: 2 },
      ])
    }).pipe(Effect.scoped),
  )

  it.live("gives meta back as it came", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const meta = '{"z":[1,{"a":null}],"__proto__":{"constructor":1},"":"\\u0000 \u{1F600}"}'
      const { json, text } = yield* ask("POST", "/sessions", `{"meta":${meta}}`)
      expect(text).toContain(`"meta":${meta},`)
      expect((yield* ask("GET", `/sessions/${json.session_id}`)).text).toContain(`"meta":${meta},`)
    }).pipe(Effect.scoped),
  )

  it.live.each<[string, unknown, string]>([
    ["an unknown field", { agnet: "claude" }, "agnet"],
    ["an agent that is no name", { agent: "../claude" }, "agent"],
    ["a model that is a flag", { model: "--help" }, "model"],
    ["a list for meta", { meta: [] }, "meta"],
    ["a text for meta", { meta: "x" }, "meta"],
    ["a large meta", { meta: { a: "x".repeat(65_536) } }, "meta"],
    ["a deep meta", `{"meta":${nested(65)}}`, "meta"],
    ["a very deep meta", `{"meta":${nested(900)}}`, "meta"],
    ["an unknown permission mode", { permission_mode: "ask" }, "permission_mode"],
  ])("refuses %s", ([, body, field]) =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const { status, json } = yield* ask("POST", "/sessions", body)
      expect([status, json.code, json.issues[0].path[0]]).toEqual([400, "invalid_request", field])
      expect((yield* ask("POST", "/sessions", `{"meta":${nested(64)}}`)).status).toBe(200)
    }).pipe(Effect.scoped),
  )

  it.live("says what keeps a session from opening", () =>
    Effect.gen(function* () {
      const refusals = [
        [new AgentUnavailable({ reason: "it does not start" }), 502, "agent_unavailable", null],
        [new ExecutableMissing({ program: "claude" }), 502, "agent_unavailable", null],
        [new NotLoggedIn({}), 503, "not_logged_in", "30"],
        [new ShuttingDown(), 503, "shutting_down", "5"],
        [
          new InvalidRequest({ issues: [{ path: ["agent"], message: "is not offered" }] }),
          400,
          "invalid_request",
          null,
        ],
      ] as const
      for (const [failure, ...said] of refusals) {
        const ask = yield* servedOn(poolWith({ open: () => Effect.fail(failure) }))
        const { status, headers, json } = yield* ask("POST", "/sessions", {})
        expect([status, json.code, headers.get("retry-after")]).toEqual(said)
        expect(headers.get("content-type")).toBe("application/problem+json")
      }
      const ask = yield* servedOn(Mock.sessionPool(() => Effect.never, { maxLiveSessions: 1 }))
      yield* opened(ask)
      const { status, headers, json } = yield* ask("POST", "/sessions", {}, "another")
      expect([status, json.code, headers.get("retry-after")]).toEqual([503, "pool_full", "30"])
      expect(json.error).toBe("session pool is full (1 open)")
    }).pipe(Effect.scoped),
  )
})

describe("POST /sessions/{id}/turn", () => {
  it.live("answers with what v0.2 did, in its order, and with the turn's id", () =>
    Effect.gen(function* () {
      const log: Array<Record<string, unknown>> = []
      const ask = yield* servedOn(echo, log)
      const id = yield* opened(ask)
      yield* ask("POST", `/sessions/${id}/turn`, { prompt: "one" })
      const { status, headers, text } = yield* ask("POST", `/sessions/${id}/turn`, { prompt: "two" })
      const { events } = Mock.turnReport("you said two")
      expect([status, text]).toEqual([
        200,
        `{"ok":true,"session_id":"${id}","turn_index":2,"events":${JSON.stringify(events)},"stop_reason":"end_turn","duration_ms":0}`,
      ])
      const runId = headers.get("x-run-id")
      expect(runId).toMatch(/^\d{26}$/)
      expect(log.at(-1)).toMatchObject({ path: `/sessions/${id}/turn`, status: 200, run_id: runId })
      expect(JSON.stringify(log)).not.toContain("you said")
    }).pipe(Effect.scoped),
  )

  it.live.each<[TurnFailure, number, string, string | null]>([
    [new TurnFailed({ reason: "it crashed", exitCode: 1, stderr: "oops" }), 502, "turn_failed", null],
    [new AgentUnavailable({ reason: "it cannot resume" }), 502, "agent_unavailable", null],
    [new RunTimedOut({ timeoutSecs: 5, durationMs: 5000 }), 504, "timeout", null],
    [new NotLoggedIn({}), 503, "not_logged_in", "30"],
    [new ShuttingDown(), 503, "shutting_down", "5"],
    [new Unauthorized(), 401, "unauthorized", null],
    [new StorageFailed({ during: "a test", cause: new Error("/srv/db") }), 500, "internal", null],
  ])("answers %s as %d %s, with the turn's id", ([failure, ...said]) =>
    Effect.gen(function* () {
      const ask = yield* servedOn(Mock.sessionPool(() => Effect.fail(failure)))
      const id = yield* opened(ask)
      const { status, headers, json, text } = yield* ask("POST", `/sessions/${id}/turn`, { prompt: "x" })
      expect([status, json.code, headers.get("retry-after")]).toEqual(said)
      expect(headers.get("content-type")).toBe("application/problem+json")
      expect(headers.get("x-run-id")).toMatch(/^\d{26}$/)
      expect(text).not.toContain("/srv")
      if (failure._tag === "TurnFailed") expect(json).toMatchObject({ exit_code: 1, stderr: "oops" })
    }).pipe(Effect.scoped),
  )

  it.live("is 409 when too many wait, and 410 when the session is closed", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(Mock.sessionPool(() => Effect.never, { maxQueuedTurns: 1 }))
      const id = yield* opened(ask)
      const turn = ask("POST", `/sessions/${id}/turn`, { prompt: "x", timeout_secs: 60 })
      const waiting = [yield* Effect.fork(turn), yield* Effect.fork(turn)]
      let count = 0
      while (count < 2) count = (yield* ask("GET", `/sessions/${id}`)).json.turn_count
      const busy = yield* turn
      expect([busy.status, busy.json.code, busy.json.retryable]).toEqual([409, "session_busy", true])
      expect(busy.headers.get("x-run-id")).toBeNull()

      yield* ask("DELETE", `/sessions/${id}`)

      for (const fiber of waiting) {
        const { status, json } = yield* fiber
        expect([status, json.stop_reason, json.events]).toEqual([200, "cancelled", []])
      }
      const gone = yield* turn
      expect([gone.status, gone.json.code, gone.json.retryable]).toEqual([410, "session_closed", false])
    }).pipe(Effect.scoped),
  )

  it.live.each<[string, unknown, string]>([
    ["no prompt", {}, "prompt"],
    ["a blank prompt", { prompt: " " }, "prompt"],
    ["an unknown field", { prompt: "x", model: "opus" }, "model"],
    ["a text for files", { prompt: "x", files: "ff_1" }, "files"],
    ["a timeout of nothing", { prompt: "x", timeout_secs: 0 }, "timeout_secs"],
  ])("refuses %s", ([, body, field]) =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const id = yield* opened(ask)
      const { status, json } = yield* ask("POST", `/sessions/${id}/turn`, body)
      expect([status, json.code, json.issues[0].path[0]]).toEqual([400, "invalid_request", field])
      expect((yield* ask("GET", `/sessions/${id}`)).json.turn_count).toBe(0)
    }).pipe(Effect.scoped),
  )

  it.live("goes on when its client hangs up", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const done: Array<string> = []
      const log: Array<Record<string, unknown>> = []
      const ask = yield* servedOn(
        Mock.sessionPool(({ prompt }) =>
          Deferred.succeed(started, undefined).pipe(
            Effect.zipRight(Deferred.await(go)),
            Effect.onExit((exit) => Effect.sync(() => done.push(`${prompt}: ${exit._tag}`))),
            Effect.as(Mock.turnReport(prompt)),
          ),
        ),
        log,
      )
      const id = yield* opened(ask)
      const first = yield* Effect.fork(ask("POST", `/sessions/${id}/turn`, { prompt: "first" }))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(first)
      yield* eventually(() => expect(log.at(-1)).toMatchObject({ status: 499, run_id: expect.any(String) }))
      expect(done).toEqual([])

      const second = yield* Effect.fork(ask("POST", `/sessions/${id}/turn`, { prompt: "second" }))
      yield* Deferred.succeed(go, undefined)
      expect((yield* second).json).toMatchObject({ turn_index: 2, stop_reason: "end_turn" })
      expect(done).toEqual(["first: Success", "second: Success"])
    }).pipe(Effect.scoped),
  )

  it.live(`passes on ${scale.updates} messages, and a long one, as they came and fast`, () =>
    Effect.gen(function* () {
      const update = { sessionUpdate: "agent_message_chunk", content: { type: "text", text: "a chunk" } }
      const message = { jsonrpc: "2.0", method: "session/update", params: { sessionId: "x", update } }
      const long = {
        jsonrpc: "2.0",
        method: "session/update",
        params: { text: "x".repeat(scale.updateBytes) },
      }
      const events = [...Array.from({ length: scale.updates }, () => message), long]
      const ask = yield* servedOn(Mock.sessionPool(() => Effect.succeed(Mock.turnReport("", { events }))))
      const id = yield* opened(ask)
      const before = performance.now()
      const { text } = yield* ask("POST", `/sessions/${id}/turn`, { prompt: "x" })
      const took = performance.now() - before
      yield* Effect.promise(() => expectWithin(took, 5000))
      expect(
        text ===
          JSON.stringify({
            ok: true,
            session_id: id,
            turn_index: 1,
            events,
            stop_reason: "end_turn",
            duration_ms: 0,
          }),
      ).toBe(true)
    }).pipe(Effect.scoped),
  )
})

describe("GET /sessions, GET and DELETE /sessions/{id}", () => {
  it.live("answer with what v0.2 did, in its order", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const { json: made } = yield* ask("POST", "/sessions", { model: "opus", meta: { user: "ada" } })
      const id = made.session_id as string
      const start = `"session_id":"${id}","agent":"claude","model":"opus","meta":{"user":"ada"}`
      expect((yield* ask("GET", `/sessions/${id}`)).text).toBe(
        `{"ok":true,${start},"status":"open","turn_count":0,"created_at":${made.created_at},"last_turn_at":null,"closed_at":null}`,
      )
      yield* ask("POST", `/sessions/${id}/turn`, { prompt: "x" })
      expect((yield* ask("DELETE", `/sessions/${id}`)).text).toBe(
        `{"ok":true,"session_id":"${id}","already_closed":false}`,
      )
      expect((yield* ask("DELETE", `/sessions/${id}`)).text).toBe(
        `{"ok":true,"session_id":"${id}","already_closed":true}`,
      )
      const { text, json } = yield* ask("GET", `/sessions/${id}`)
      expect([Number.isInteger(json.last_turn_at), Number.isInteger(json.closed_at)]).toEqual([true, true])
      expect(text).toBe(
        `{"ok":true,${start},"status":"closed","turn_count":1,"created_at":${made.created_at},"last_turn_at":${json.last_turn_at},"closed_at":${json.closed_at}}`,
      )
      expect((yield* ask("GET", "/sessions")).text).toBe(
        `{"ok":true,"sessions":[${text.replace('"ok":true,', "")}]}`,
      )
    }).pipe(Effect.scoped),
  )

  it.live("list the app's own, the newest first, without the closed ones if it wants", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const [first, second] = [yield* opened(ask), yield* opened(ask)]
      yield* ask("POST", "/sessions", {}, "another")
      yield* ask("DELETE", `/sessions/${first}`)
      const listed = (query: string) =>
        Effect.map(ask("GET", `/sessions${query}`), ({ json }) =>
          json.sessions.map(({ session_id }: any) => session_id),
        )
      expect(yield* listed("")).toEqual([second, first])
      expect(yield* listed("?include_closed=true")).toEqual([second, first])
      expect(yield* listed("?include_closed=false")).toEqual([second])
      for (const query of [
        "?include_closed=1",
        "?include_closed=",
        "?include_closed=TRUE",
        "?include_closed=true&include_closed=false",
        "?includeClosed=true",
      ]) {
        const { status, json } = yield* ask("GET", `/sessions${query}`)
        expect([query, status, json.code]).toEqual([query, 400, "invalid_request"])
      }
    }).pipe(Effect.scoped),
  )

  it.live("answer alike for another app's session, for an unknown one, and for what is no id", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const theirs = (yield* ask("POST", "/sessions", {}, "another")).json.session_id as string
      const answers: Array<string> = []
      for (const id of [theirs, UNKNOWN, UNKNOWN.toUpperCase(), "x", "%00", `${theirs}%20`, "a".repeat(99)])
        for (const [method, path, body] of [
          ["GET", `/sessions/${id}`],
          ["DELETE", `/sessions/${id}`],
          ["POST", `/sessions/${id}/turn`, { prompt: "x" }],
        ] as const) {
          const { status, headers, text } = yield* ask(method, path, body)
          const own = [...headers].filter(([name]) => name !== "date")
          answers.push(JSON.stringify([status, own, text]))
        }
      expect(new Set(answers).size).toBe(1)
      expect(answers[0]).toContain("no such session")
      expect((yield* ask("GET", `/sessions/${theirs}`, undefined, "another")).json).toMatchObject({
        status: "open",
        turn_count: 0,
      })
    }).pipe(Effect.scoped),
  )

  it.live("say which methods and which media types they know", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      for (const [method, path, allowed] of [
        ["PUT", "/sessions", "GET, HEAD, POST"],
        ["DELETE", "/sessions", "GET, HEAD, POST"],
        ["POST", `/sessions/${UNKNOWN}`, "DELETE, GET, HEAD"],
        ["GET", `/sessions/${UNKNOWN}/turn`, "POST"],
      ] as const) {
        const { status, headers, json } = yield* ask(method, path)
        expect([status, json.code]).toEqual([405, "method_not_allowed"])
        expect(headers.get("allow")?.split(", ").toSorted().join(", ")).toBe(allowed)
      }
      for (const path of ["/sessions", `/sessions/${UNKNOWN}`]) {
        const { status, json } = yield* ask("GET", path, undefined, "recipes", "text/html")
        expect([status, json.code]).toEqual([406, "not_acceptable"])
      }
      expect((yield* ask("GET", `/sessions/${UNKNOWN}/turn/1`)).status).toBe(404)
    }).pipe(Effect.scoped),
  )
})

describe("DELETE /admin/tokens/{name}", () => {
  it.live("closes the app's sessions", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const [id, other] = [
        yield* opened(ask),
        (yield* ask("POST", "/sessions", {}, "another")).json.session_id,
      ]
      yield* ask("DELETE", "/admin/tokens/recipes")
      expect((yield* ask("GET", `/sessions/${id}`)).json.status).toBe("closed")
      expect((yield* ask("GET", `/sessions/${other}`, undefined, "another")).json.status).toBe("open")
    }).pipe(Effect.scoped),
  )
})

describe("GET /healthz", () => {
  it.live("counts the open sessions of all apps", () =>
    Effect.gen(function* () {
      const ask = yield* servedOn(echo)
      const id = yield* opened(ask)
      yield* ask("POST", "/sessions", {}, "another")
      yield* ask("DELETE", `/sessions/${id}`)
      expect((yield* ask("GET", "/healthz")).text).toBe(
        '{"ok":true,"claude_present":true,"claude_version":"mock","acpx_present":false,"acpx_version":null,"open_sessions":1,"login":"ok"}',
      )
    }).pipe(Effect.scoped),
  )

  it.live("has the last number when the ledger fails, or hangs", () =>
    Effect.gen(function* () {
      const broken = new StorageFailed({ during: "a test", cause: "a test" })
      const counts = [
        Effect.fail(broken),
        Effect.succeed(7),
        Effect.fail(broken),
        Effect.uninterruptible(Effect.never),
      ]
      const ask = yield* servedOn(
        poolWith({ openSessions: Effect.suspend(() => counts.shift() ?? Effect.succeed(8)) }),
      )
      const before = performance.now()
      for (const expected of [0, 7, 7, 7, 8]) {
        const { status, json } = yield* ask("GET", "/healthz")
        expect([status, json.open_sessions]).toEqual([200, expected])
      }
      const took = performance.now() - before
      yield* Effect.promise(() => expectWithin(took, 4000))
    }).pipe(Effect.scoped),
  )
})
