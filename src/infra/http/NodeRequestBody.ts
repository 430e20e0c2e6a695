import type { IncomingMessage } from "node:http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { RequestBody } from "../../http/RequestBody.ts"
import { formParts } from "./FormReader.ts"

/** How much of a body that is too large is read and dropped before it is refused all the same. */
const DROPPED_MAX_BYTES = 64 * 1024 * 1024
/** In what time a JSON body must be there, and an upload must have brought its next mebibyte. */
const PATIENCE = Duration.seconds(60)
const PACE_BYTES = 1024 * 1024

/** Bodies from the socket; JSON ones of at most `limit` bytes, also when chunked without a length. */
export const layer = (limit: number, patience: Duration.Duration = PATIENCE) =>
  Layer.succeed(RequestBody, {
    bytes: (request) =>
      Effect.suspend(() => {
        const chunks: Array<Uint8Array> = []
        let size = 0
        return read(NodeHttpServerRequest.toIncomingMessage(request)).pipe(
          Stream.runForEach((chunk) =>
            Effect.suspend(() => {
              size += chunk.length
              if (size > limit) return new BodyTooLarge({ limit })
              chunks.push(chunk)
              return Effect.void
            }),
          ),
          Effect.map(() => Buffer.concat(chunks)),
          Effect.timeoutFail({ duration: patience, onTimeout: () => new RequestTooSlow() }),
        )
      }),

    form: (request) =>
      Stream.suspend(() => {
        let brought = 0
        const pace = Effect.suspend(() => {
          if (brought < PACE_BYTES) return new RequestTooSlow()
          brought = 0
          return Effect.void
        }).pipe(Effect.delay(patience), Effect.forever)
        const body = Stream.tap(read(NodeHttpServerRequest.toIncomingMessage(request)), (chunk) =>
          Effect.sync(() => (brought += chunk.length)),
        )
        return Stream.interruptWhen(formParts(request.headers["content-type"] ?? "", body), pace)
      }),

    drop: (request) =>
      Effect.suspend(() => {
        const source = NodeHttpServerRequest.toIncomingMessage(request)
        if (!NodeHttpServerRequest.toServerResponse(request).shouldKeepAlive) return drop(source, patience)
        // The answer need not wait: on a connection that stays open, the rest may as well be dropped after it.
        source.resume()
        return Effect.void
      }),
  })

/** A request's body, chunk by chunk as it is asked for: what nobody asks for stays with the sender. */
const read = (source: IncomingMessage): Stream.Stream<Uint8Array, BodyUnreadable> =>
  Stream.repeatEffectOption(
    Effect.async<Uint8Array, Option.Option<BodyUnreadable>>((resume) => {
      const cut = () => resume(Effect.fail(Option.some(new BodyUnreadable())))
      const stop = onBody(source, {
        data: (chunk) => {
          stop()
          source.pause()
          resume(Effect.succeed(chunk))
        },
        end: () => resume(Effect.fail(Option.none())),
        cut,
      })
      if (source.readableEnded) resume(Effect.fail(Option.none()))
      else if (source.destroyed) cut()
      else source.resume()
      return Effect.sync(() => {
        stop()
        source.pause()
      })
    }),
  )

/** Reads what is left of a body, for nobody; gives up on one that does not end. */
const drop = (source: IncomingMessage, patience: Duration.Duration): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    let dropped = 0
    const finish = () => {
      stop()
      resume(Effect.void)
    }
    const stop = onBody(source, {
      data: (chunk) => {
        dropped += chunk.length
        if (dropped > DROPPED_MAX_BYTES) finish()
      },
      end: finish,
      cut: finish,
    })
    if (source.readableEnded || source.destroyed) return finish()
    source.resume()
    return Effect.sync(stop)
  }).pipe(Effect.interruptible, Effect.timeoutOption(patience), Effect.asVoid)

const onBody = (
  source: IncomingMessage,
  on: {
    readonly data: (chunk: Uint8Array) => void
    readonly end: () => void
    readonly cut: () => void
  },
) => {
  source.on("data", on.data).once("end", on.end).once("close", on.cut).on("error", ignore)
  return () => {
    source.off("data", on.data).off("end", on.end).off("close", on.cut).off("error", ignore)
  }
}

const ignore = () => {}
