import type { IncomingMessage, ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it, vi } from "@effect/vitest"
import { FetchHttpClient } from "@effect/platform"
import { Chunk, Deferred, Effect, Exit, Fiber, Option, Redacted, Scope, Stream, TestClock } from "effect"
import {
  applyDelta,
  ConnectionError,
  ForgeClient,
  GoneError,
  type LogEvent,
  type Resync,
  UnauthorizedError,
  UnexpectedAnswerError,
} from "../../src/client.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { scriptedServer, shared } from "../support/Sessions.ts"
import { answerProblem, stubServer } from "../support/StubServer.ts"
import { eventually, scriptedClaude, startServer, temporaryDirectory } from "../support/TestServer.ts"

/** The client's streams through a proxy that cuts connections. */

const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude) }))

let apps = 0
const clientAt = (baseUrl: string, token: string) =>
  ForgeClient.make({ baseUrl, token: Redacted.make(token) }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.orDie,
  )
const setUp = Effect.gen(function* () {
  const proxy = yield* cuttingProxy(() => server().url)
  const token = yield* server().mint(`reader-${apps++}`)
  return {
    proxy,
    token,
    cut: yield* clientAt(proxy.url, token),
    whole: yield* clientAt(server().url, token),
  }
})

const collect = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const lines = (requests: ReadonlyArray<string>) => requests.map((head) => head.split(" http/1.1")[0])
const lastIds = (requests: ReadonlyArray<string>) =>
  requests.map((head) => /^last-event-id: (\d+)$/m.exec(head)?.[1])

// Most of the time of these tests is the pause before a retry.
describe("a stream whose connection is lost", { concurrent: true }, () => {
  it.scopedLive("resumes after its last event, and passes on each event once", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      // Cuts in the head's last line, in the first event, inside events, between two events, and inside a character.
      proxy.cuts.push(700, 520, 900, 1234, 2000, 760)
      const events = yield* collect(cut.streams.run({ prompt: "STREAM 20 15" }))
      const [begun] = events
      expect(begun?.type).toBe("run")
      const run = begun?.type === "run" ? begun.data.run_id : ""
      expect(events).toEqual(yield* collect(whole.streams.runEvents(run)))
      expect(proxy.cuts).toEqual([])
      expect(lines(proxy.requests)).toEqual([
        "post /run?deltas=1",
        ...Array(6).fill(`get /runs/${run.toLowerCase()}/events?deltas=1`),
      ])
      const ids = new Set(events.map(({ id }) => id))
      expect(
        lastIds(proxy.requests)
          .slice(1)
          .every((id) => id === undefined || ids.has(id)),
      ).toBe(true)
    }),
  )

  it.scopedLive("is not requested again without a key if no answer has begun", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      proxy.cuts.push(20)
      expect(yield* Effect.flip(collect(cut.streams.run({ prompt: "SAY once" })))).toBeInstanceOf(
        ConnectionError,
      )
      expect(lines(proxy.requests)).toEqual(["post /run?deltas=1"])
      expect((yield* whole.runs.listRuns()).runs).toHaveLength(1)
    }),
  )

  it.scopedLive("is requested again with a key, and runs once", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      proxy.cuts.push(20, 100)
      const events = yield* collect(cut.streams.run({ prompt: "SAY once" }, { idempotencyKey: "once" }))
      expect(events.at(-1)).toMatchObject({ type: "result", data: { ok: true, result: "once" } })
      expect(lines(proxy.requests)).toEqual(Array(3).fill("post /run?deltas=1"))
      expect((yield* whole.runs.listRuns()).runs).toHaveLength(1)
    }),
  )

  it.scopedLive("has the same events, wherever it is cut", () =>
    Effect.gen(function* () {
      const { token, whole } = yield* setUp
      const events = yield* collect(whole.streams.run({ prompt: "STREAM 1 1" }))
      const [begun] = events
      const run = begun?.type === "run" ? begun.data.run_id : ""
      const proxies = yield* Effect.forEach(Array.from({ length: 40 }), () =>
        cuttingProxy(() => server().url),
      )
      const told = yield* Effect.forEach(
        proxies,
        (proxy, k) =>
          Effect.gen(function* () {
            proxy.cuts.push(1 + 61 * k)
            const client = yield* clientAt(proxy.url, token)
            return yield* collect(client.streams.runEvents(run))
          }),
        { concurrency: "unbounded" },
      )
      for (const one of told) expect(one).toEqual(events)
      const cut = proxies.filter(({ requests }) => requests.length === 2)
      expect(cut.length).toBeGreaterThan(30)
    }),
  )

  it.scopedLive("of the log resumes after its last event, or from its start if it had none", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      const before = yield* whole.run.run({ payload: { prompt: "SAY before" }, withHead: true })
      const told: Array<LogEvent | Resync> = []
      yield* Effect.fork(
        Stream.runForEach(cut.streams.events(), (event) => Effect.sync(() => void told.push(event))),
      )
      // One request for the newest event, one to follow the log.
      yield* eventually(() => expect(proxy.requests).toHaveLength(2))
      const runs: Array<string | undefined> = []
      for (const n of [1, 2, 3]) {
        proxy.cutAll()
        const [, { runId }] = yield* whole.run.run({ payload: { prompt: `SAY ${n}` }, withHead: true })
        runs.push(runId)
        yield* eventually(() => expect(told).toHaveLength(3 * n))
      }
      const { events } = yield* whole.events.listEvents({ urlParams: { limit: 9 } })
      expect(told.map(({ data }) => data)).toEqual(events.toReversed())
      expect(new Set(told.map(({ data }) => ("run_id" in data ? data.run_id : "")))).toEqual(new Set(runs))
      expect(runs).not.toContain(before[1].runId)
    }),
  )

  it.scopedLive("of the log survives a restart of the service", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const claude = { claudeBin: Option.some(scriptedClaude) }
      const first = yield* Scope.make()
      const { url, mint } = yield* Scope.extend(startServer(claude, dir), first)
      const client = yield* clientAt(url, yield* mint("survivor"))
      const told: Array<string> = []
      const reading = Stream.runForEach(client.streams.events({ type: "run.completed" }), ({ data }) =>
        Effect.sync(() => void told.push("run_id" in data ? String(data.run_id) : "")),
      )
      yield* Effect.fork(reading)
      // The stream starts at the newest event when it opens. Only an event that it passes on shows that it is open.
      const runs: Array<string | undefined> = []
      const ask = Effect.map(
        client.run.run({ payload: { prompt: "SAY a" }, withHead: true }),
        ([, { runId }]) => {
          runs.push(runId)
        },
      )
      while (told.length === 0) {
        yield* ask
        yield* Effect.sleep("200 millis")
      }
      yield* Scope.close(first, Exit.void)
      yield* startServer({ ...claude, port: Number(new URL(url).port) }, dir)
      yield* ask
      yield* eventually(() => expect(told.at(-1)).toBe(runs.at(-1)))
      expect(told).toEqual(runs.slice(-told.length))
    }),
  )
})

const frame = (id: number, event: string, data: unknown) =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
const BEGUN = frame(1, "run", { run_id: "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC" })
const ANSWER = { ok: true, result: "a", duration_ms: 1, stop_reason: "end_turn" }
const RESULT = frame(9, "result", ANSWER)

/** Begins a response as the service begins a stream. */
const begin = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { "content-type": "text/event-stream" })

const stubbed = (answer: (request: IncomingMessage, response: ServerResponse, n: number) => void) =>
  Effect.gen(function* () {
    const stub = yield* stubServer(answer)
    return { stub, client: yield* clientAt(stub.url, "cf_some") }
  })

/** A fetch. `isQuiet` tells whether each of its requests has failed, or the client has taken the answer's first piece. */
const watchedFetch = () => {
  let waiting = 0
  const fetch: typeof globalThis.fetch = async (...asked) => {
    waiting += 1
    const response = await globalThis.fetch(...asked).catch((error) => {
      waiting -= 1
      throw error
    })
    const reader = response.body?.getReader()
    let asks = 0
    // A pull of the second piece shows that the client has taken the first.
    const pull = async (body: ReadableStreamDefaultController) => {
      asks += 1
      if (asks === 2) waiting -= 1
      const piece = await reader?.read()
      if (piece?.value === undefined) body.close()
      else body.enqueue(piece.value)
    }
    const cancel = (why: unknown) => reader?.cancel(why)
    return new Response(new ReadableStream({ pull, cancel }, { highWaterMark: 0 }), response)
  }
  return { fetch, isQuiet: () => waiting === 0 }
}

describe("a stream", { concurrent: true }, () => {
  it.scopedLive("resumes after an answer that ends regularly before the result", () =>
    Effect.gen(function* () {
      const after: Array<unknown> = []
      const { stub, client } = yield* stubbed(({ headers }, response, n) => {
        after.push(headers["last-event-id"])
        if (n === 1) begin(response).end(BEGUN + frame(2, "message", {}))
        // Repeats events, and sends more than was requested.
        else
          begin(response).end(
            frame(2, "message", {}) + frame(3, "message", {}) + RESULT + frame(10, "message", {}),
          )
      })
      const events = yield* collect(client.streams.run({ prompt: "a" }))
      expect(events.map(({ id, type }) => `${id} ${type}`)).toEqual([
        "1 run",
        "2 message",
        "3 message",
        "9 result",
      ])
      expect(stub.asked).toEqual([
        "POST /run?deltas=1",
        "GET /runs/01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC/events?deltas=1",
      ])
      expect(after).toEqual([undefined, "2"])
    }),
  )

  it.scopedLive("passes on a resync, and drops events that it does not know", () =>
    Effect.gen(function* () {
      const { client } = yield* stubbed((_, response) => {
        const gap = frame(5, "resync", { oldest_id: "9" })
        begin(response).end(gap + frame(6, "from-tomorrow", 1) + RESULT)
      })
      expect(yield* collect(client.streams.runEvents("r", { after: "1" }))).toEqual([
        { type: "resync", id: "5", data: { oldest_id: "9" } },
        { type: "result", id: "9", data: ANSWER },
      ])
    }),
  )

  it.scopedLive("has the answer's text in pieces, each once also after a lost connection", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      proxy.cuts.push(1500, 300, 300, 300)
      const events = yield* collect(cut.streams.run({ prompt: "ANEW the first half | all of it, anew" }))
      expect(proxy.cuts).toEqual([])
      const deltas = events.flatMap((event) => (event.type === "delta" ? [event.data] : []))
      expect(deltas).toContainEqual({ reset: true })
      expect(deltas.reduce(applyDelta, "")).toBe("all of it, anew")
      expect(events.at(-1)).toMatchObject({ type: "result", data: { result: "all of it, anew" } })
      const run = (yield* whole.runs.listRuns()).runs[0]!.run_id
      expect(events).toEqual(yield* collect(whole.streams.runEvents(run)))
      expect(yield* collect(whole.streams.runEvents(run, { deltas: false }))).toEqual(
        events.filter(({ type }) => type !== "delta"),
      )
      // A stream that has ended has nothing after its last event.
      expect(yield* collect(whole.streams.runEvents(run, { after: events.at(-1)!.id }))).toEqual([])
    }),
  )

  it.scopedLive("fails if it has ended, and its result is no longer stored", () =>
    Effect.gen(function* () {
      const { stub, client } = yield* stubbed((_, response, n) => {
        if (n === 1) begin(response).end(BEGUN + frame(9, "resync", { oldest_id: null }))
        else response.writeHead(204).end()
      })
      const error = yield* Effect.flip(collect(client.streams.run({ prompt: "a" })))
      expect(error).toBeInstanceOf(GoneError)
      expect(stub.asked).toHaveLength(2)
    }),
  )

  it.scopedLive("fails with the problem of its error event, also if that has an old id", () =>
    Effect.gen(function* () {
      const problem = { ok: false, error: "revoked", code: "unauthorized", status: 401, retryable: false }
      const { client } = yield* stubbed((_, response) =>
        begin(response).end(BEGUN + frame(1, "error", problem)),
      )
      const error = yield* Effect.flip(collect(client.streams.run({ prompt: "a" })))
      expect(error).toBeInstanceOf(UnauthorizedError)
    }),
  )

  it.scopedLive("fails if it cannot be resumed", () =>
    Effect.gen(function* () {
      const { stub, client } = yield* stubbed((_, response, n) => {
        if (n === 1) begin(response).end(BEGUN)
        else if (n === 2) answerProblem(response, 503, "shutting_down", { "retry-after": "0" })
        else answerProblem(response, 404, "not_found")
      })
      expect(yield* Effect.flip(collect(client.streams.run({ prompt: "a" })))).toMatchObject({
        code: "not_found",
      })
      expect(stub.asked).toHaveLength(3)
    }),
  )

  it.scopedLive("fails if the answer is no event stream", () =>
    Effect.gen(function* () {
      const { stub, client } = yield* stubbed((_, response) => {
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(ANSWER))
      })
      const error = yield* Effect.flip(collect(client.streams.run({ prompt: "a" })))
      expect(error).toBeInstanceOf(UnexpectedAnswerError)
      expect(stub.asked).toHaveLength(1)
    }),
  )

  it.scoped("reconnects after 45 s of silence, and fails after twelve failed attempts", () =>
    Effect.gen(function* () {
      let closed = 0
      const { stub, client } = yield* stubbed((_, response, n) => {
        response.on("close", () => (closed += 1))
        if (n < 3) begin(response).write(n === 1 ? BEGUN : ":\n\n")
        else response.destroy()
      })
      const watched = watchedFetch()
      const reading = yield* collect(client.streams.run({ prompt: "a" })).pipe(
        Effect.provideService(FetchHttpClient.Fetch, watched.fetch),
        Effect.flip,
        Effect.fork,
      )
      // Advances the clock only while the client waits for time alone: real requests may be slow on this machine.
      while (reading.unsafePoll() === null) {
        if (watched.isQuiet()) yield* TestClock.adjust("5 seconds")
        else yield* Effect.promise(() => sleep(5))
      }
      expect(yield* Fiber.join(reading)).toBeInstanceOf(ConnectionError)
      expect(stub.asked).toHaveLength(2 + 12)
      yield* Effect.promise(() => vi.waitFor(() => expect(closed).toBe(14), { timeout: 120_000 }))
    }),
  )

  it.scopedLive("disconnects when its reader stops", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const { client } = yield* stubbed((_, response) => {
        response.on("close", () => Deferred.unsafeDone(closed, Effect.void))
        begin(response).write(BEGUN)
      })
      expect(yield* Stream.runHead(client.streams.run({ prompt: "a" }))).toMatchObject({ _tag: "Some" })
      yield* Deferred.await(closed)
    }),
  )

  it.scopedLive("is parsed with any line ends, and with pieces cut anywhere", () =>
    Effect.gen(function* () {
      for (const end of ["\n", "\r\n", "\r"]) {
        const text =
          `\uFEFF:hello\n\n${BEGUN}${frame(2, "message", "naïve 漢字 👩‍👩‍👧")}${RESULT}`.replaceAll("\n", end)
        const { client } = yield* stubbed((_, response) => {
          begin(response)
          const bytes = Buffer.from(text)
          const write = (at: number): void => {
            if (at === bytes.length) response.end()
            else response.write(bytes.subarray(at, at + 1), () => write(at + 1))
          }
          write(0)
        })
        const events = yield* collect(client.streams.run({ prompt: "a" }))
        expect(events.map(({ data }) => data)).toEqual([
          { run_id: "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC" },
          "naïve 漢字 👩‍👩‍👧",
          ANSWER,
        ])
      }
    }),
  )

  it.scopedLive("may have a line of eight megabytes in hundreds of pieces", () =>
    Effect.gen(function* () {
      const long = "x".repeat(8 * 1024 * 1024)
      const { client } = yield* stubbed((_, response) => {
        begin(response)
        const bytes = Buffer.from(BEGUN + frame(2, "message", long) + RESULT)
        const write = (at: number): void => {
          if (at >= bytes.length) response.end()
          else response.write(bytes.subarray(at, at + 16_384), () => setImmediate(write, at + 16_384))
        }
        write(0)
      })
      const events = yield* collect(client.streams.run({ prompt: "a" }))
      expect(events.map(({ type }) => type)).toEqual(["run", "message", "result"])
      expect(events[1]?.data).toBe(long)
    }),
  )
})
