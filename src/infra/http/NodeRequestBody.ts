import type { IncomingMessage } from "node:http"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { Overloaded } from "../../domain/Failure.ts"
import { BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { RequestBody } from "../../http/RequestBody.ts"
import { formParts } from "./FormReader.ts"

/** So many bytes of a refused body are read and dropped, before the answer is sent although more arrives. */
const DROPPED_MAX_BYTES = 64 * 1024 * 1024
/** A JSON body must arrive within this time; of an upload, `PACE_BYTES` must arrive in each such period. */
const BODY_TIMEOUT = Duration.seconds(60)
const PACE_BYTES = 1024 * 1024
/** The most bytes of all JSON bodies together that are still arriving. Bodies up to `SMALL_BYTES` are always read. */
const ARRIVING_MAX_BYTES = 256 * 1024 * 1024
const SMALL_BYTES = 64 * 1024

/** Reads bodies from Node's socket. The limits also hold for chunked bodies, which declare no length. */
export const layer = (limits: {
  /** The largest JSON body, in bytes. */
  readonly json: number
  /** The largest form, in bytes. */
  readonly form: number
  /** By default one minute; see `BODY_TIMEOUT`. */
  readonly timeout?: Duration.Duration
}) => Layer.sync(RequestBody, () => makeRequestBody(limits.json, limits.form, limits.timeout ?? BODY_TIMEOUT))

const makeRequestBody = (jsonLimit: number, formLimit: number, timeout: Duration.Duration) => {
  let arriving = 0

  /** Reads a body into memory. `arriving` counts its bytes until it is complete or given up. */
  const readAll = Effect.fn("RequestBody.bytes")(function* (source: IncomingMessage) {
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
      Effect.timeoutFail(readAll(NodeHttpServerRequest.toIncomingMessage(request)), {
        duration: timeout,
        onTimeout: () => new RequestTooSlow(),
      }),

    form: (request) =>
      Stream.suspend(() => {
        let size = 0
        let sizeInPeriod = 0
        const failWhenSlow = Effect.suspend(() => {
          if (sizeInPeriod < PACE_BYTES) return new RequestTooSlow()
          sizeInPeriod = 0
          return Effect.void
        }).pipe(Effect.delay(timeout), Effect.forever)
        const body = Stream.tap(read(NodeHttpServerRequest.toIncomingMessage(request)), (chunk) => {
          size += chunk.length
          sizeInPeriod += chunk.length
          return size > formLimit ? new BodyTooLarge({ limit: formLimit }) : Effect.void
        })
        return Stream.interruptWhen(formParts(request.headers["content-type"] ?? "", body), failWhenSlow)
      }),

    drop: (request) =>
      Effect.suspend(() => {
        const source = NodeHttpServerRequest.toIncomingMessage(request)
        if (!NodeHttpServerRequest.toServerResponse(request).shouldKeepAlive) return drop(source, timeout)
        // The connection stays open, so the rest can be dropped after the answer is sent.
        source.resume()
        return Effect.void
      }),
  })
}

/** A request's body, chunk by chunk. Chunks are read on demand, so a slow consumer slows down the sender. */
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

/** Reads and drops the rest of a body. Gives up after `timeout`, or after `DROPPED_MAX_BYTES`. */
const drop = (source: IncomingMessage, timeout: Duration.Duration): Effect.Effect<void> =>
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
  }).pipe(Effect.interruptible, Effect.timeoutOption(timeout), Effect.asVoid)

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
