import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Cause, Clock, Context, Duration, Effect, Layer, Schedule, Stream } from "effect"
import type { TokenId } from "../../domain/Ids.ts"
import { Connections } from "./Connections.ts"
import { EVENT_STREAM, type Sent, STREAM_HEADERS, writeTo } from "./EventStream.ts"
import { end, lookAt, readerOf, refuse, type StreamReader } from "./StreamReader.ts"

/** How long a stream that is ended may take to say so; then its connection is cut. */
const ENDING = Duration.millis(500)
/** How long streams may go on by themselves once all runs have ended. */
const LAST_WORDS = Duration.millis(250)

export interface OpenStreamsOptions {
  /** How long a stream may be silent. Unset: ten seconds; as it is looked at once a second, that may be eleven. */
  readonly heartbeat?: Duration.Duration
  /** How often all readers are looked at. Unset: once a second. */
  readonly interval?: Duration.Duration
}

/** The streams that are being sent, and who reads them. */
export class OpenStreams extends Context.Tag("clawdforge/http/OpenStreams")<
  OpenStreams,
  {
    /**
     * A response that sends these events, no faster than they are read: up to a `result` or an `error`, or as far as
     * they go, or until somebody ends it. `owner` is whose token opened it; undefined: the operator's.
     */
    readonly answer: (
      request: HttpServerRequest.HttpServerRequest,
      owner: TokenId | undefined,
      sent: Sent,
    ) => HttpServerResponse.HttpServerResponse
    /** Ends what a revoked token has open, and will open; does not wait for it. */
    readonly endOf: (owner: TokenId) => Effect.Effect<void>
    /** To be called when all runs have ended: their streams say so to who reads them, and then all streams end. */
    readonly shutdown: Effect.Effect<void>
    /** How many are open. */
    readonly count: Effect.Effect<number>
  }
>() {
  static readonly layer = (options: OpenStreamsOptions = {}): Layer.Layer<OpenStreams, never, Connections> =>
    Layer.scoped(
      OpenStreams,
      Effect.gen(function* () {
        const connections = yield* Connections
        const scope = yield* Effect.scope
        const heartbeat = Duration.toMillis(options.heartbeat ?? Duration.seconds(10))
        const open = new Set<StreamReader>()
        const revoked = new Set<TokenId>()
        const none = Effect.unsafeMakeLatch(true)
        let closed = false

        const enter = (reader: StreamReader) =>
          Effect.suspend(() => {
            open.add(reader)
            none.unsafeClose()
            // Not when its stream is over: what was written may still wait for it.
            reader.connection.onClosed(() => {
              open.delete(reader)
              if (open.size === 0) none.unsafeOpen()
            })
            // Who ends streams meets this one there, or here.
            if (reader.owner !== undefined && revoked.has(reader.owner)) return refuse(reader)
            return closed ? end(reader) : Effect.void
          })

        const cut = (readers: ReadonlyArray<StreamReader>) =>
          Effect.sync(() => {
            for (const reader of readers) if (open.has(reader)) reader.connection.cut()
          })

        // One clock for all: a stream in which nothing happens costs nothing.
        yield* Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.forEach(
            [...open],
            (reader) =>
              Effect.catchAllCause(lookAt(reader, now, heartbeat), (cause) =>
                Effect.logWarning("a stream's reader could not be looked at", cause),
              ),
            { discard: true },
          ),
        ).pipe(Effect.schedule(Schedule.spaced(options.interval ?? Duration.seconds(1))), Effect.forkScoped)

        return {
          answer: (request, owner, sent) => {
            const written = Effect.gen(function* () {
              const reader = yield* readerOf(request, connections.of(request), owner, sent)
              yield* enter(reader)
              // A client learns at once that there is a stream, whatever comes or does not come.
              reader.connection.open()
              yield* Effect.catchAllCause(
                writeTo(reader.connection, sent.frames, reader.progress),
                (cause) =>
                  // One that seems to end well would tell its client that this was all.
                  Cause.isInterruptedOnly(cause)
                    ? Effect.failCause(cause as Cause.Cause<never>)
                    : Effect.zipRight(Effect.logError("a stream broke", cause), cut([reader])),
              )
            })
            // The framework sends the head and the end, and its steps for each piece in between are saved.
            return HttpServerResponse.stream(Stream.execute(written), {
              contentType: `${EVENT_STREAM}; charset=utf-8`,
              headers: STREAM_HEADERS,
            })
          },

          endOf: (owner) =>
            Effect.gen(function* () {
              revoked.add(owner)
              const theirs = [...open].filter((reader) => reader.owner === owner)
              yield* Effect.forEach(theirs, refuse, { discard: true })
              yield* cut(theirs).pipe(Effect.delay(ENDING), Effect.interruptible, Effect.forkIn(scope))
            }),

          shutdown: Effect.gen(function* () {
            yield* Effect.timeoutOption(Effect.interruptible(none.await), LAST_WORDS)
            closed = true
            yield* Effect.forEach([...open], (reader) => end(reader), { discard: true })
            yield* Effect.timeoutOption(Effect.interruptible(none.await), ENDING)
            yield* cut([...open])
          }),

          count: Effect.sync(() => open.size),
        }
      }),
    )
}
