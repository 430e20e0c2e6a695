import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Cause, Clock, Context, Duration, Effect, Layer, Schedule, Stream } from "effect"
import type { TokenId } from "../../domain/Ids.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import { Revocation } from "../../services/access/Revocation.ts"
import { Connections } from "./Connections.ts"
import { EVENT_STREAM, type Sent, STREAM_HEADERS, writeTo } from "./EventStream.ts"
import { end, lookAt, readerOf, refuse, type StreamReader } from "./StreamReader.ts"

/** How long an ended stream may take to send its end. Then its connection is cut. */
const ENDING = Duration.millis(500)
/** How long streams may go on by themselves when all runs have ended. */
const LAST_WORDS = Duration.millis(250)

export interface OpenStreamsOptions {
  /** How long a stream may be silent. Unset: ten seconds; as it is looked at once a second, that may be eleven. */
  readonly heartbeat?: Duration.Duration
  /** How often all readers are looked at. Unset: once a second. */
  readonly interval?: Duration.Duration
}

/** The streams that are being sent. */
export class OpenStreams extends Context.Tag("clawdforge/http/OpenStreams")<
  OpenStreams,
  {
    /**
     * Makes a response that sends events, no faster than they are read: up to a `result` or an `error`, to their end, or
     * until the stream is ended. The stream of an app ends when the app's token is revoked.
     */
    readonly answer: (
      request: HttpServerRequest.HttpServerRequest,
      viewer: Viewer,
      sent: Sent,
    ) => HttpServerResponse.HttpServerResponse
    /**
     * Ends all streams. Called when all runs have ended: their streams have 250 ms to send that by themselves.
     */
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
        const revoked = new Set<TokenId>()
        const none = Effect.unsafeMakeLatch(true)
        let closed = false

        const enter = (reader: StreamReader) =>
          Effect.suspend(() => {
            open.add(reader)
            none.unsafeClose()
            // Not at the end of its stream: what was written may still wait to be read.
            reader.connection.onClosed(() => {
              open.delete(reader)
              if (open.size === 0) none.unsafeOpen()
            })
            // A revocation finds the reader in the set, or the reader finds the revocation here.
            if (reader.viewer._tag === "App" && revoked.has(reader.viewer.tokenId)) return refuse(reader)
            return closed ? end(reader) : Effect.void
          })

        const cut = (readers: ReadonlyArray<StreamReader>) =>
          Effect.sync(() => {
            for (const reader of readers) if (open.has(reader)) reader.connection.cut()
          })

        // One clock for all readers: an idle stream costs nothing.
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

        yield* revocation.register((owner) =>
          Effect.gen(function* () {
            revoked.add(owner)
            const theirs = [...open].filter(({ viewer }) => viewer._tag === "App" && viewer.tokenId === owner)
            yield* Effect.forEach(theirs, refuse, { discard: true })
            yield* cut(theirs).pipe(Effect.delay(ENDING), Effect.interruptible, Effect.forkIn(scope))
          }),
        )

        return {
          answer: (request, viewer, sent) => {
            const written = Effect.gen(function* () {
              const reader = yield* readerOf(request, connections.of(request), viewer, sent)
              yield* enter(reader)
              // The client gets the headers at once, though there may be no event for a long time.
              reader.connection.open()
              yield* Effect.catchAllCause(
                writeTo(reader.connection, sent.frames, reader.progress),
                (cause) =>
                  // A stream that ended without an error would tell its client that this was all.
                  Cause.isInterruptedOnly(cause)
                    ? Effect.failCause(cause as Cause.Cause<never>)
                    : Effect.zipRight(Effect.logError("a stream broke", cause), cut([reader])),
              )
            })
            // The framework sends the head and the end only: its steps for each piece in between cost too much.
            return HttpServerResponse.stream(Stream.execute(written), {
              contentType: `${EVENT_STREAM}; charset=utf-8`,
              headers: STREAM_HEADERS,
            })
          },

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
