import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import { HttpServer, HttpServerRequest } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Logger, Queue, type Scope, Stream } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { App, OPERATOR, type Viewer } from "../../src/domain/Viewer.ts"
import { type Frame, framesOf, type Sent } from "../../src/http/sse/EventStream.ts"
import { OpenStreams, type OpenStreamsOptions } from "../../src/http/sse/OpenStreams.ts"
import { checkReader, type StreamReader } from "../../src/http/sse/StreamReader.ts"
import * as NodeConnections from "../../src/infra/http/NodeConnections.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { revocation } from "../../src/testing.ts"
import { openEvents } from "../support/EventSource.ts"
import { expectWithin } from "../support/Pace.ts"
import { eventually } from "../support/TestServer.ts"

/** Streams on a real socket, of whatever a test wants to send. */

const frame = (seq: number, data = "{}", event = "message"): Frame => ({ seq, event, data })
const nothingMore = { after: 0, bytesAfter: () => Effect.succeed(0) }
/** Sends these, and then nothing. */
const silent = (...frames: ReadonlyArray<Frame>): Sent => ({
  ...nothingMore,
  frames: framesOf(Stream.concat(Stream.fromIterable(frames), Stream.never)),
})

const MEBIBYTE = 1024 * 1024
const LARGE = JSON.stringify("x".repeat(MEBIBYTE))
/** So many events, each a mebibyte. */
const mebibytes = (n: number) => Stream.range(1, n, 1).pipe(Stream.map((seq) => frame(seq, LARGE)))

const RECIPES = "0".repeat(26) as TokenId
const DIARY = "1".repeat(26) as TokenId
const VIEWERS: Readonly<Record<string, Viewer>> = {
  "/recipes": App({ tokenId: RECIPES }),
  "/diary": App({ tokenId: DIARY }),
}
const origin = { requestId: "r", address: "127.0.0.1" }

interface Served {
  readonly url: string
  readonly streams: typeof OpenStreams.Service
  readonly revoke: (owner: TokenId) => Effect.Effect<void>
  readonly open: (path?: string) => Effect.Effect<Awaited<ReturnType<typeof openEvents>>>
}

/** `/recipes` and `/diary` are those apps' streams, everything else is the operator's. */
const served = (
  sent: (path: string) => Sent,
  options: OpenStreamsOptions = {},
): Effect.Effect<Served, never, Scope.Scope> =>
  Effect.gen(function* () {
    const app = Layer.unwrapEffect(
      Effect.map(OpenStreams, (streams) =>
        HttpServer.serve(
          Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
            streams.answer(request, VIEWERS[request.url] ?? OPERATOR, sent(request.url)),
          ),
        ),
      ),
    )
    const context = yield* Layer.build(
      app.pipe(
        Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
        Layer.provideMerge(
          OpenStreams.layer(options).pipe(
            Layer.provideMerge(revocation),
            Layer.provide(NodeConnections.layer),
          ),
        ),
        Layer.provide(Logger.remove(Logger.defaultLogger)),
      ),
    )
    const url = HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)
    return {
      url,
      streams: Context.get(context, OpenStreams),
      revoke: (owner: TokenId) =>
        // The stand-in takes the name as the id.
        Effect.orDie(Context.get(context, Revocation).revoke(owner as string as TokenName, origin)),
      open: (path = "/") => Effect.promise(() => openEvents(`${url}${path}`)),
    }
  }).pipe(Effect.orDie)

/** A client that asks, takes the first bytes of the answer, and nothing more until it is told. */
const stopped = (url: string, path: string) =>
  Effect.acquireRelease(
    Effect.async<Socket>((resume) => {
      const socket = connect(Number(new URL(url).port), "127.0.0.1")
      socket.on("error", () => {})
      socket.once("data", () => {
        socket.pause()
        resume(Effect.succeed(socket))
      })
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    }),
    (socket) => Effect.sync(() => socket.destroy()),
  )

const fibers = () => Effect.runSync(Fiber.roots).length
const count = (streams: typeof OpenStreams.Service) => Effect.runSync(streams.count)
const isOpen = ({ streams }: Served, n: number) => eventually(() => expect(count(streams)).toBe(n))

describe.concurrent("an answer that is a stream", () => {
  it.scopedLive("begins at once, though there is nothing to send, and is kept by nobody on its way", () =>
    Effect.gen(function* () {
      const server = yield* served(() => silent())
      const { status, headers, close } = yield* server.open()
      expect(status).toBe(200)
      expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
      expect(headers.get("cache-control")).toBe("no-store, no-transform")
      expect(headers.get("x-accel-buffering")).toBe("no")
      close()
      yield* isOpen(server, 0)
    }),
  )

  it.scopedLive("brings each event when it comes", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<Frame>()
      const server = yield* served(() => ({ ...nothingMore, frames: framesOf(Stream.fromQueue(queue)) }))
      const { events, until, close } = yield* server.open()
      for (let n = 1; n <= 3; n++) {
        yield* Queue.offer(queue, frame(n, JSON.stringify({ n })))
        yield* Effect.promise(() => until(() => events.length === n))
      }
      expect(events.map(({ id, data }) => [id, data])).toEqual([
        ["1", '{"n":1}'],
        ["2", '{"n":2}'],
        ["3", '{"n":3}'],
      ])
      close()
    }),
  )

  it.scopedLive("says something when nothing happens, again and again, between two events", () =>
    Effect.gen(function* () {
      const options = { heartbeat: Duration.millis(50), interval: Duration.millis(20) }
      const server = yield* served(() => silent(frame(1), frame(2)), options)
      const { comments, events, close } = yield* server.open()
      yield* eventually(() => expect(comments.length).toBeGreaterThan(4))
      expect(events.map(({ id }) => id)).toEqual(["1", "2"])
      close()
    }),
  )

  it.scopedLive("that breaks is cut, and does not look like one that ended", () =>
    Effect.gen(function* () {
      const failure = new StorageFailed({ during: "a test", cause: null })
      const broken = Stream.fromEffect(Effect.delay(failure, "200 millis"))
      const frames = Stream.concat(Stream.make(frame(1)), broken)
      const server = yield* served((path) => ({
        ...nothingMore,
        frames: framesOf(path === "/broken" ? frames : Stream.make(frame(1))),
      }))
      const [one, other] = [yield* server.open("/broken"), yield* server.open("/whole")]
      expect(yield* Effect.promise(() => one.ended)).toBe("cut")
      expect(yield* Effect.promise(() => other.ended)).toBe("ended")
      yield* isOpen(server, 0)
    }),
  )

  it.scopedLive("is closed when its client goes away: of two hundred nothing is left", () =>
    Effect.gen(function* () {
      let reading = 0
      const frames = Stream.acquireRelease(
        Effect.sync(() => void (reading += 1)),
        () => Effect.sync(() => void (reading -= 1)),
      ).pipe(Stream.zipRight(Stream.never), Stream.merge(Stream.make(frame(1))))
      const server = yield* served(() => ({ ...nothingMore, frames: framesOf(frames) }))
      const before = fibers()
      const all = yield* Effect.all(
        Array.from({ length: 200 }, () => server.open()),
        { concurrency: 20 },
      )
      yield* isOpen(server, 200)
      yield* eventually(() => expect(reading).toBe(200))
      for (const { close } of all) close()
      yield* isOpen(server, 0)
      yield* eventually(() => expect(reading).toBe(0))
      yield* eventually(() => expect(fibers()).toBeLessThanOrEqual(before + 1))
    }),
  )
})

describe.concurrent("revoking a token", () => {
  it.scopedLive("ends its streams with one 401, those that it opens later, too, and nobody else's", () =>
    Effect.gen(function* () {
      const server = yield* served(() => silent(frame(4)))
      const [own, other, operators] = yield* Effect.all([
        server.open("/recipes"),
        server.open("/diary"),
        server.open("/"),
      ])
      for (const { until } of [own, other, operators]) {
        yield* Effect.promise(() => until((events) => events.length === 1))
      }
      yield* server.revoke(RECIPES)
      expect(yield* Effect.promise(() => own.ended)).toBe("ended")
      expect(own.events.map(({ id, event }) => [id, event])).toEqual([
        ["4", "message"],
        ["4", "error"],
      ])
      expect(JSON.parse(own.events[1]?.data ?? "")).toMatchObject({
        ok: false,
        status: 401,
        code: "unauthorized",
      })
      const late = yield* server.open("/recipes")
      expect(yield* Effect.promise(() => late.ended)).toBe("ended")
      expect(late.events.map(({ event }) => event)).toEqual(["error"])
      expect([other, operators].map(({ events }) => events.length)).toEqual([1, 1])
      expect(count(server.streams)).toBe(2)
      other.close()
      operators.close()
    }),
  )

  it.scopedLive("adds nothing to a stream that has had its own end", () =>
    Effect.gen(function* () {
      const server = yield* served(() => silent(frame(1, "{}", "error")))
      const [stream] = yield* Effect.all([server.open("/recipes"), server.revoke(RECIPES)], {
        concurrency: "unbounded",
      })
      yield* Effect.promise(() => stream.ended)
      expect(stream.events.map(({ event }) => event)).toEqual(["error"])
    }),
  )

  it.scopedLive("cuts those whose readers do not take their last event", () =>
    Effect.gen(function* () {
      const server = yield* served(() => ({
        ...nothingMore,
        frames: framesOf(mebibytes(1000)),
      }))
      const socket = yield* stopped(server.url, "/recipes")
      yield* isOpen(server, 1)
      yield* server.revoke(RECIPES)
      yield* isOpen(server, 0)
      const closed = Effect.async<void>((resume) => void socket.once("close", () => resume(Effect.void)))
      socket.resume()
      yield* closed
    }),
  )
})

describe.concurrent("when the service stops", () => {
  it.scopedLive("streams say what they have to say, and end well; who comes later gets an end, too", () =>
    Effect.gen(function* () {
      const ending = yield* Queue.unbounded<Frame>()
      const server = yield* served((path) =>
        path === "/run" ? { ...nothingMore, frames: framesOf(Stream.fromQueue(ending)) } : silent(frame(1)),
      )
      const [run, quiet] = yield* Effect.all([server.open("/run"), server.open("/quiet")])
      yield* Effect.promise(() => quiet.until(({ length }) => length === 1))
      const stopping = yield* Effect.fork(server.streams.shutdown)
      yield* Queue.offer(ending, frame(2, "{}", "error"))
      yield* Fiber.join(stopping)
      expect(yield* Effect.promise(() => Promise.all([run.ended, quiet.ended]))).toEqual(["ended", "ended"])
      expect([run.events, quiet.events].map((all) => all.map(({ event }) => event))).toEqual([
        ["error"],
        ["message"],
      ])
      const late = yield* server.open("/quiet")
      expect(yield* Effect.promise(() => late.ended)).toBe("ended")
      expect(count(server.streams)).toBe(0)
    }),
  )

  it.scopedLive("nobody holds it up who takes nothing", () =>
    Effect.gen(function* () {
      const frames = mebibytes(1000)
      const server = yield* served(() => ({ ...nothingMore, frames: framesOf(frames) }))
      yield* stopped(server.url, "/")
      yield* isOpen(server, 1)
      const [took] = yield* Effect.timed(server.streams.shutdown)
      yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 10_000))
      yield* isOpen(server, 0)
    }),
  )
})

/** A reader of whom a test says what it took, looked at once a second. */
const watched = (bytesAfter: number) => {
  let waiting = 0
  let wasCut = false
  const written: Array<number> = []
  const progress = { cursor: 7, isIdle: true, isOver: false, taken: 0, unwritten: 0 }
  let now = 0
  const reader = {
    viewer: OPERATOR,
    requestId: "",
    fiber: undefined,
    progress,
    connection: {
      waiting: () => waiting,
      write: () => void written.push(now),
      end: () => {},
      cut: () => void (wasCut = true),
      onClosed: () => {},
    },
    bytesAfter: () => Effect.succeed(bytesAfter),
    waiting: 0,
    taken: 0,
    movedAt: 0,
    measuredAt: 0,
    sentAt: 0,
  } as unknown as StreamReader
  return {
    written,
    /** The second in which it is cut, if that comes. */
    cutWithin: (secs: number, each: (second: number, set: (bytes: number) => void) => void) => {
      for (let second = 1; second <= secs; second++) {
        now += 1000
        each(second, (bytes) => {
          waiting = bytes
        })
        Effect.runSync(checkReader(reader, now, 10_000))
        if (wasCut) return second
      }
      return undefined
    },
    take: () => void (progress.taken += 1),
  }
}

describe.concurrent("a reader", () => {
  it("is cut when it takes nothing for 5 s and more than 4 MiB are waiting", () => {
    expect(watched(4 * MEBIBYTE).cutWithin(300, (_, set) => set(1000))).toBe(5)
  })

  it("is cut when it takes nothing for 60 s and anything is waiting", () => {
    expect(watched(3 * MEBIBYTE).cutWithin(300, (_, set) => set(1000))).toBe(60)
  })

  it("is slow, and is left alone as long as it takes something", () => {
    const pieces = watched(100 * MEBIBYTE)
    const bytes = watched(100 * MEBIBYTE)
    expect(pieces.cutWithin(300, (n, set) => (set(1000), n % 4 === 0 && pieces.take()))).toBeUndefined()
    expect(bytes.cutWithin(300, (n, set) => set(100_000 - Math.floor(n / 4)))).toBeUndefined()
  })

  it("has taken everything, and is not cut, however much may come; it is told that it is not forgotten", () => {
    const idle = watched(100 * MEBIBYTE)
    expect(idle.cutWithin(45, (_, set) => set(0))).toBeUndefined()
    expect(idle.written).toEqual([10_000, 20_000, 30_000, 40_000])
  })

  it.scopedLive("that stops is cut off, over a real socket, and others feel nothing", () =>
    Effect.gen(function* () {
      const messages = 24
      const server = yield* served(() => ({
        after: 0,
        frames: framesOf(mebibytes(messages)),
        bytesAfter: (after) => Effect.succeed((messages - after) * MEBIBYTE),
      }))
      yield* stopped(server.url, "/")
      yield* isOpen(server, 1)
      const { events, ended } = yield* server.open()
      expect(yield* Effect.promise(() => ended)).toBe("ended")
      expect(events.map(({ id }) => id)).toEqual(Array.from({ length: messages }, (_, n) => String(n + 1)))
      yield* eventually(() => expect(count(server.streams)).toBe(0))
    }),
  )
})
