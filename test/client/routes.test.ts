import { describe, expect, it } from "@effect/vitest"
import { FetchHttpClient } from "@effect/platform"
import { Effect, Exit, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import {
  ConnectionError,
  DeadlineError,
  ForgeClient,
  type ForgeSettings,
  InvalidRequestError,
  PROBLEM_ERRORS,
  SessionClosedError,
  UnauthorizedError,
  UnexpectedAnswerError,
} from "../../src/client.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { scriptedServer, shared } from "../support/Sessions.ts"
import { answerProblem, stubServer } from "../support/StubServer.ts"
import { ADMIN_TOKEN, fileForm, scriptedClaude } from "../support/TestServer.ts"

/** The derived client, against the service on a real socket. */

const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude) }))

const clientAt = (baseUrl: string, token: string, more: Partial<ForgeSettings> = {}) =>
  ForgeClient.make({ baseUrl, token: Redacted.make(token), ...more }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.orDie,
  )

let apps = 0
const newToken = Effect.suspend(() => server().mint(`client-${apps++}`))
const setUp = Effect.gen(function* () {
  const token = yield* newToken
  return { token, client: yield* clientAt(server().url, token) }
})

describe("the derived client", () => {
  it.live("runs one prompt, and returns the answer's head on request", () =>
    Effect.gen(function* () {
      const { client } = yield* setUp
      expect(yield* client.run.run({ payload: { prompt: 'SAY {"qty":2}', model: null } })).toEqual({
        ok: true,
        result: { qty: 2 },
        duration_ms: expect.any(Number),
        stop_reason: "end_turn",
      })
      const ask = client.run.run({
        payload: { prompt: "SAY once" },
        urlParams: { include: "usage" },
        headers: { "idempotency-key": "k-1" },
        withHead: true,
      })
      const [first, head] = yield* ask
      const [second, replay] = yield* ask
      expect(first).toMatchObject({ result: "once", usage: { input_tokens: 0 }, cost_usd: 0 })
      expect(second).toEqual(first)
      expect([head.replayed, replay.replayed]).toEqual([false, true])
      expect(replay.runId).toBe(head.runId)
      expect(yield* client.runs.readRun({ path: { id: head.runId ?? "" } })).toMatchObject({
        status: "completed",
      })
    }),
  )

  it.live("uploads files, lists runs, and reads as the operator", () =>
    Effect.gen(function* () {
      const { client } = yield* setUp
      const { file_token, size } = yield* client.files.upload({ payload: fileForm("flour") })
      expect(size).toBe(5)
      expect(yield* client.run.run({ payload: { prompt: "CAT", files: [file_token] } })).toMatchObject({
        result: "flour",
      })
      expect((yield* client.runs.listRuns({ urlParams: { limit: 1 } })).runs).toHaveLength(1)
      expect(yield* client.system.live()).toBe("ok\n")
      const operator = yield* ForgeClient.make({
        baseUrl: server().url,
        adminToken: Redacted.make(ADMIN_TOKEN),
      }).pipe(Effect.provide(FetchHttpClient.layer))
      expect((yield* operator.admin.listTokens()).tokens.length).toBeGreaterThan(0)
      expect((yield* operator.events.readEventStats()).stream_events).not.toBeNull()
    }),
  )

  it.live("fails with the class of the code, and with the problem's details", () =>
    Effect.gen(function* () {
      const { client, token } = yield* setUp
      const unauthorized = yield* Effect.flip((yield* clientAt(server().url, "cf_nobodys")).runs.listRuns())
      expect(unauthorized).toBeInstanceOf(UnauthorizedError)
      expect(unauthorized).toMatchObject({
        _tag: "UnauthorizedError",
        name: "UnauthorizedError",
        code: "unauthorized",
        status: 401,
        retryable: false,
        message: "a valid bearer token is needed",
        requestId: expect.stringMatching(/^\w+$/),
      })
      const caught = client.runs
        .readRun({ path: { id: "../admin/tokens" } })
        .pipe(Effect.catchTag("NotFoundError", ({ status }) => Effect.succeed(status)))
      expect(yield* caught).toBe(404)
      const { session_id } = yield* client.sessions.openSession({ payload: { agent: "scripted" } })
      yield* client.sessions.closeSession({ path: { id: session_id } })
      const closed = yield* Effect.flip(
        client.sessions.takeTurn({ path: { id: session_id }, payload: { prompt: "SAY a" } }),
      )
      expect(closed).toBeInstanceOf(SessionClosedError)
      expect(closed).toMatchObject({ status: 410 })
      const failed = yield* Effect.flip(client.run.run({ payload: { prompt: "EXIT 3" } }))
      expect(failed).toMatchObject({
        code: "run_failed",
        status: 502,
        exitCode: 3,
        stderr: "scripted failure",
      })
      expect(String(failed)).not.toContain(token)
    }),
  )

  it.live("reports the issues of a request without sending it, as the service would", () =>
    Effect.gen(function* () {
      const { client, token } = yield* setUp
      const payload = { prompt: " ", timeout_secs: 0 }
      const here = yield* Effect.flip(client.run.run({ payload }))
      const there = (yield* server().run(token, payload)).json
      expect(here).toBeInstanceOf(InvalidRequestError)
      expect(here.issues).toEqual(there.issues)
      expect(here.message).toBe(there.error)
      expect(yield* Effect.flip(client.runs.readRun({ path: { id: ".." } }))).toBeInstanceOf(
        InvalidRequestError,
      )
      // This rule only the service can check.
      const agent = yield* Effect.flip(client.sessions.openSession({ payload: { agent: "nobody" } }))
      expect(agent).toMatchObject({ code: "invalid_request", status: 400 })
      expect(agent.issues).toEqual([{ path: ["agent"], message: expect.any(String) }])
    }),
  )

  it.scopedLive("knows every code of the service", () =>
    Effect.gen(function* () {
      const codes = Object.keys(PROBLEM_ERRORS) as ReadonlyArray<keyof typeof PROBLEM_ERRORS>
      const stub = yield* stubServer((_, response, n) => answerProblem(response, 400, codes[n - 1] ?? ""))
      const client = yield* clientAt(stub.url, "cf_some")
      for (const code of codes) {
        const error = yield* Effect.flip(client.runs.listRuns())
        expect(error).toBeInstanceOf(PROBLEM_ERRORS[code])
        expect([error.code, error.name]).toEqual([code, PROBLEM_ERRORS[code].name])
      }
      expect(yield* Effect.flip(client.runs.listRuns())).toBeInstanceOf(UnexpectedAnswerError)
    }),
  )
})

describe("a request without a usable answer", { concurrent: true }, () => {
  it.scopedLive("does not follow a redirect, which would send the prompt to another server", () =>
    Effect.gen(function* () {
      const other = yield* stubServer((_, response) => response.end("{}"))
      const stub = yield* stubServer((_, response) => {
        response.writeHead(307, { location: `${other.url}/run` }).end()
      })
      const client = yield* ForgeClient.make({ baseUrl: stub.url, token: Redacted.make("cf_x") })
      const failure = yield* Effect.flip(client.run.run({ payload: { prompt: "hello" } }))
      expect(failure).toMatchObject({ code: "unexpected_answer", status: 307 })
      expect([stub.asked, other.asked]).toEqual([["POST /run"], []])
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )

  it.scopedLive("fails with its cause: no server, a proxy's page, another JSON", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer((request, response) => {
        if (request.url === "/runs") response.writeHead(200, { "content-type": "application/json" }).end("{}")
        else response.writeHead(418, { "content-type": "text/html" }).end("<h1>teapot</h1>")
      })
      const client = yield* clientAt(stub.url, "cf_some")
      const page = yield* Effect.flip(client.system.health())
      expect(page).toBeInstanceOf(UnexpectedAnswerError)
      expect(page).toMatchObject({ status: 418 })
      expect(yield* Effect.flip(client.runs.listRuns())).toBeInstanceOf(UnexpectedAnswerError)
      const nobody = yield* clientAt("http://127.0.0.1:1", "cf_some")
      const lost = yield* Effect.flip(nobody.run.run({ payload: { prompt: "SAY a" } }))
      expect(lost).toBeInstanceOf(ConnectionError)
      expect(lost.retryable).toBe(true)
    }),
  )

  it.scopedLive("is retried if the request is safe, but not after a long Retry-After", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer((_, response, n) => {
        if (n === 1) response.destroy()
        else if (n === 2) answerProblem(response, 503, "shutting_down", { "retry-after": "1" })
        else if (n === 3) response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>")
        else if (n === 4) response.writeHead(200, { "content-type": "text/plain" }).end("ok\n")
        else answerProblem(response, 503, "not_logged_in", { "retry-after": "60" })
      })
      const client = yield* clientAt(stub.url, "cf_some")
      expect(yield* client.system.live()).toBe("ok\n")
      expect(stub.asked).toHaveLength(4)
      const wait = yield* Effect.flip(client.system.live())
      expect(wait).toMatchObject({ code: "not_logged_in", retryAfterSecs: 60 })
      expect(stub.asked).toHaveLength(5)
    }),
  )

  it.scopedLive("is retried for a POST only with a key, and then runs once", () =>
    Effect.gen(function* () {
      const proxy = yield* cuttingProxy(() => server().url)
      const token = yield* newToken
      const client = yield* clientAt(proxy.url, token)
      proxy.cuts.push(10, 10, 100)
      const payload = { prompt: "SAY once" }
      expect(yield* Effect.flip(client.run.run({ payload }))).toBeInstanceOf(ConnectionError)
      expect(proxy.requests).toHaveLength(1)
      const keyed = client.run.run({ payload, headers: { "idempotency-key": "order-17" } })
      expect(yield* keyed).toMatchObject({ result: "once" })
      expect(proxy.requests).toHaveLength(4)
      expect(proxy.requests.slice(1).every((head) => head.includes("idempotency-key: order-17"))).toBe(true)
      // The first run was cancelled when its client had gone, or had ended before; with the key there was one run.
      const { runs } = yield* client.runs.listRuns()
      expect(runs).toHaveLength(2)
    }),
  )
})

describe("the client's own deadline", () => {
  it.scoped("is timeout_secs plus the wait in the queue plus 30 s", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer(() => {})
      const client = yield* clientAt(stub.url, "cf_some", { queueWaitSecs: 7 })
      const waiting = yield* Effect.fork(
        Effect.flip(client.run.run({ payload: { prompt: "HOLD", timeout_secs: 5 } })),
      )
      yield* stub.reached(1)
      yield* TestClock.adjust("41 seconds")
      expect(waiting.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 second")
      const late = yield* Fiber.join(waiting)
      expect(late).toBeInstanceOf(DeadlineError)
      expect(late.message).toBe("there was no answer within 42 s")
    }),
  )

  it.scoped("is 30 s for routes that answer at once", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer(() => {})
      const client = yield* clientAt(stub.url, "cf_some")
      const waiting = yield* Effect.fork(Effect.flip(client.runs.listRuns()))
      yield* stub.reached(1)
      yield* TestClock.adjust("30 seconds")
      expect(yield* Fiber.join(waiting)).toBeInstanceOf(DeadlineError)
    }),
  )
})

describe("a base URL", () => {
  it.scopedLive("may have a path and a trailing slash", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer((_, response) => {
        response.writeHead(200, { "content-type": "text/plain" }).end("ok\n")
      })
      for (const path of ["", "/", "/forge", "/forge/"]) {
        expect(yield* (yield* clientAt(`${stub.url}${path}`, "cf_some")).system.live()).toBe("ok\n")
      }
      expect(stub.asked).toEqual(["GET /livez", "GET /livez", "GET /forge/livez", "GET /forge/livez"])
    }),
  )

  it.effect("or a token that is not valid is refused, and the error does not quote it", () =>
    Effect.gen(function* () {
      const secret = "hunter2"
      const bad: ReadonlyArray<ForgeSettings> = [
        { baseUrl: "" },
        { baseUrl: "127.0.0.1:8800" },
        { baseUrl: `ftp://${secret}.example` },
        { baseUrl: `http://${secret}:${secret}@127.0.0.1` },
        { baseUrl: `http://127.0.0.1/?token=${secret}` },
        { baseUrl: "http://127.0.0.1", token: Redacted.make("") },
        { baseUrl: "http://127.0.0.1", token: Redacted.make(`${secret}\n`) },
        { baseUrl: "http://127.0.0.1", adminToken: Redacted.make(`${secret} ü`) },
      ]
      for (const settings of bad) {
        const made = yield* Effect.exit(
          Layer.build(Layer.provide(ForgeClient.layer(settings), FetchHttpClient.layer)).pipe(Effect.scoped),
        )
        expect(Exit.isFailure(made)).toBe(true)
        expect(JSON.stringify(made)).toContain("invalid_settings")
        expect(JSON.stringify(made)).not.toContain(secret)
      }
    }),
  )
})
