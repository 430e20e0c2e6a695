import type { IncomingMessage } from "node:http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { Overloaded } from "../../domain/Failure.ts"
import { BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { RequestBody } from "../../http/RequestBody.ts"
import { formParts } from "./FormReader.ts"

/** How much of a body that is too large is read and dropped before it is refused all the same. */
const DROPPED_MAX_BYTES = 64 * 1024 * 1024
/** In what time a JSON body must be there, and an upload must have brought its next mebibyte. */
const PATIENCE = Duration.seconds(60)
const PACE_BYTES = 1024 * 1024
/** Of all JSON bodies that are not whole yet together; small ones pass in any case. */
const ARRIVING_MAX_BYTES = 256 * 1024 * 1024
const SMALL_BYTES = 64 * 1024

/** Bodies from the socket; limits hold also for those that are chunked without a length. */
export const layer = (limits: {
  /** Of a JSON body, in bytes. */
  readonly json: number
  /** Of a form, in bytes. */
  readonly form: number
  /** Unset: a minute. */
  readonly patience?: Duration.Duration
}) => Layer.sync(RequestBody, () => bodies(limits.json, limits.form, limits.patience ?? PATIENCE))

const bodies = (jsonLimit: number, formLimit: number, patience: Duration.Duration) => {
  let arriving = 0

  /** Counts what is kept of a body until it is whole, or given up. */
  const kept = Effect.fn("RequestBody.bytes")(function* (source: IncomingMessage) {
    const chunks: Array<Uint8Array> = []
    let size = 0
    yield* Effect.addFinalizer(() => Effect.sync(() => void (arriving -= size)))
    yield* Stream.runForEach(
      read(source),
      Effect.fnUntraced(function* (chunk) {
        size += chunk.length
        arriving += chunk.length
        if (size > jsonLimit) return yield* new BodyTooLarge({ limit: jsonLimit })
        if (size > SMALL_BYTES && arriving > ARRIVING_MAX_BYTES) {
          return yield* new Overloaded({ because: "bodies_arriving", retryAfterSecs: 5 })
        }
        chunks.push(chunk)
      }),
    )
    return Buffer.concat(chunks)
  }, Effect.scoped)

  return RequestBody.of({
    bytes: (request) =>
      Effect.timeoutFail(kept(NodeHttpServerRequest.toIncomingMessage(request)), {
        duration: patience,
        onTimeout: () => new RequestTooSlow(),
      }),

    form: (request) =>
      Stream.suspend(() => {
        let size = 0
        let brought = 0
        const pace = Effect.suspend(() => {
          if (brought < PACE_BYTES) return new RequestTooSlow()
          brought = 0
          return Effect.void
        }).pipe(Effect.delay(patience), Effect.forever)
        const body = Stream.tap(read(NodeHttpServerRequest.toIncomingMessage(request)), (chunk) => {
          size += chunk.length
          brought += chunk.length
          return size > formLimit ? new BodyTooLarge({ limit: formLimit }) : Effect.void
        })
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
}

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
