import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Cause, Context, Duration, Effect, Layer, Schedule, type Scope, Stream } from "effect"
import { Overloaded } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import { Revocation } from "../../services/access/Revocation.ts"
import { monotonicMillis } from "../../services/time/Monotonic.ts"
import { Connections } from "./Connections.ts"
import { EVENT_STREAM, type Sent, STREAM_HEADERS, writeTo } from "./EventStream.ts"
import { end, endRevoked, checkReader, makeStreamReader, type StreamReader } from "./StreamReader.ts"

/** How long an ended stream can take to send its end. Then its connection is cut. */
const SEND_END_TIMEOUT = Duration.millis(500)
/** How long a shutdown waits for streams to end by themselves, after all runs have ended. */
const SHUTDOWN_GRACE = Duration.millis(250)

/** How many streams one token may have open at once, by default. */
const STREAMS_PER_TOKEN = 500

export interface OpenStreamsOptions {
  /** How many streams an app's token, or the operator's, may have open at once; 500 by default. */
  readonly maxPerToken?: number
  /** The silence after which a heartbeat is sent; ten seconds by default. It is checked once in each `interval`. */
  readonly heartbeat?: Duration.Duration
  /** How often all readers are checked; once a second by default. */
  readonly interval?: Duration.Duration
}

/** The streams that are being sent to clients. */
export class OpenStreams extends Context.Tag("clawdforge/http/OpenStreams")<
  OpenStreams,
  {
    /**
     * Takes one of the viewer's places for streams, until the request is over. Call it before the work that the stream
     * shows. Fails with `Overloaded` when the viewer has as many streams as it may have.
     */
    readonly admit: (viewer: Viewer) => Effect.Effect<void, Overloaded, Scope.Scope>
    /**
     * Makes a response that sends events, no faster than the client reads them. It ends after a `result` or an `error`,
     * or when there are no further events. An app's stream also ends when the app's token is revoked, every stream at
     * `shutdown`.
     */
    readonly answer: (
      request: HttpServerRequest.HttpServerRequest,
      viewer: Viewer,
      sent: Sent,
    ) => HttpServerResponse.HttpServerResponse
    /** Ends all streams. It is called when all runs have ended, and gives their streams 250 ms to end by themselves. */
    readonly shutdown: Effect.Effect<void>
    /** Counts the open streams. */
    readonly count: Effect.Effect<number>
  }
>() {
  static readonly layer = (
    options: OpenStreamsOptions = {},
  ): Layer.Layer<OpenStreams, never, Connections | Revocation> =>
    Layer.scoped(
      OpenStreams,
      Effect.gen(function* () {
        const connections = yield* Connections
        const revocation = yield* Revocation
        const scope = yield* Effect.scope
        const heartbeat = Duration.toMillis(options.heartbeat ?? Duration.seconds(10))
        const open = new Set<StreamReader>()
        /** The tokens that were revoked since the start. */
        const revoked = new Set<TokenId>()
        /** The number of streams by token. */
        const admitted = new Map<string, number>()
        const maxPerToken = options.maxPerToken ?? STREAMS_PER_TOKEN
        const allClosed = Effect.unsafeMakeLatch(true)
        let isShutDown = false

        /** Adds a reader, until its connection is closed. Ends its stream at once if that is due already. */
        const add = (reader: StreamReader) =>
          Effect.suspend(() => {
            open.add(reader)
            allClosed.unsafeClose()
            // Not when the stream ends: bytes that were written may still wait for the client.
            reader.connection.onClosed(() => {
              open.delete(reader)
              if (open.size === 0) allClosed.unsafeOpen()
            })
            // A revocation finds the reader in `open`, or it was earlier and its token is in `revoked`.
            if (reader.viewer._tag === "App" && revoked.has(reader.viewer.tokenId)) return endRevoked(reader)
            return isShutDown ? end(reader) : Effect.void
          })

        /** Cuts the connections that are still open. */
        const cut = (readers: ReadonlyArray<StreamReader>) =>
          Effect.sync(() => {
            for (const reader of readers) if (open.has(reader)) reader.connection.cut()
          })

        // One timer for all readers: an idle stream costs nothing.
        yield* Effect.flatMap(monotonicMillis, (now) =>
          Effect.forEach(
            [...open],
            (reader) =>
              Effect.catchAllCause(checkReader(reader, now, heartbeat), (cause) =>
                Effect.logWarning("a stream's reader could not be checked", cause),
              ),
            { discard: true },
          ),
        ).pipe(Effect.schedule(Schedule.spaced(options.interval ?? Duration.seconds(1))), Effect.forkScoped)

        yield* revocation.register((owner) =>
          Effect.gen(function* () {
            revoked.add(owner)
            const readers = [...open].filter(
              ({ viewer }) => viewer._tag === "App" && viewer.tokenId === owner,
            )
            yield* Effect.forEach(readers, endRevoked, { discard: true })
            yield* cut(readers).pipe(
              Effect.delay(SEND_END_TIMEOUT),
              Effect.interruptible,
              Effect.forkIn(scope),
            )
          }),
        )

        const admit = (viewer: Viewer) => {
          const token = viewer._tag === "App" ? viewer.tokenId : viewer._tag
          return Effect.acquireRelease(
            Effect.suspend(() => {
              const count = admitted.get(token) ?? 0
              if (count >= maxPerToken) return new Overloaded({ because: "streams", retryAfterSecs: 5 })
              admitted.set(token, count + 1)
              return Effect.void
            }),
            () =>
              Effect.sync(() => {
                const left = (admitted.get(token) ?? 1) - 1
                if (left === 0) admitted.delete(token)
                else admitted.set(token, left)
              }),
          )
        }

        return {
          admit,

          answer: (request, viewer, sent) => {
            const writeStream = Effect.gen(function* () {
              const reader = yield* makeStreamReader(request, connections.of(request), viewer, sent)
              yield* add(reader)
              // The client gets the headers at once: the first event may be long in coming.
              reader.connection.open()
              yield* Effect.catchAllCause(
                writeTo(reader.connection, sent.frames, reader.progress),
                (cause) =>
                  // A response that ended normally would tell its client that the stream is complete.
                  Cause.isInterruptedOnly(cause)
                    ? Effect.failCause(cause as Cause.Cause<never>)
                    : Effect.zipRight(Effect.logError("a stream broke", cause), cut([reader])),
              )
            })
            // The framework sends only the head and the end: its work for each piece in between costs too much.
            return HttpServerResponse.stream(Stream.execute(writeStream), {
              contentType: `${EVENT_STREAM}; charset=utf-8`,
              headers: STREAM_HEADERS,
            })
          },

          shutdown: Effect.gen(function* () {
            yield* Effect.timeoutOption(Effect.interruptible(allClosed.await), SHUTDOWN_GRACE)
            isShutDown = true
            yield* Effect.forEach([...open], (reader) => end(reader), { discard: true })
            yield* Effect.timeoutOption(Effect.interruptible(allClosed.await), SEND_END_TIMEOUT)
            yield* cut([...open])
          }),

          count: Effect.sync(() => open.size),
        }
      }),
    )
}
