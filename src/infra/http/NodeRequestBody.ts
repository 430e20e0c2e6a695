import type { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { RequestBody } from "../../http/RequestBody.ts"
import { formParts } from "./FormReader.ts"
import { askForBody } from "./LateBodies.ts"

/** If more than so many bytes of a refused body are declared, its connection is closed instead of reading them. */
const DROPPED_MAX_BYTES = 4 * 1024 * 1024
/** A JSON body must arrive within this time; of an upload, `PACE_BYTES` must arrive in each such period. */
const BODY_TIMEOUT = Duration.seconds(60)
const PACE_BYTES = 1024 * 1024
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
  /** Reads a body into memory. */
  const readAll = Effect.fn("RequestBody.bytes")(function* <E>(request: Request, inspect: Inspect<E>) {
    const chunks: Array<Uint8Array> = []
    let size = 0
    yield* Stream.runForEach(
      read(request),
      Effect.fnUntraced(function* (chunk) {
        size += chunk.length
        if (size > jsonLimit) return yield* new BodyTooLarge({ limit: jsonLimit })
        yield* inspect(chunk)
        chunks.push(chunk)
      }),
    )
    return Buffer.concat(chunks)
  })

  return RequestBody.of({
    bytes: (request, inspect) =>
      Effect.zipRight(
        checkDeclared(request, jsonLimit),
        Effect.timeoutFail(readAll(request, inspect), {
          duration: timeout,
          onTimeout: () => new RequestTooSlow(),
        }),
      ),

    form: (request) =>
      Stream.suspend(() => {
        let size = 0
        let sizeInPeriod = 0
        const failWhenSlow = Effect.suspend(() => {
          if (sizeInPeriod < PACE_BYTES) return new RequestTooSlow()
          sizeInPeriod = 0
          return Effect.void
        }).pipe(Effect.delay(timeout), Effect.forever)
        const body = Stream.tap(read(request), (chunk) => {
          size += chunk.length
          sizeInPeriod += chunk.length
          return size > formLimit ? new BodyTooLarge({ limit: formLimit }) : Effect.void
        })
        const parts = formParts(request.headers["content-type"] ?? "", body)
        return Stream.unwrap(
          Effect.as(checkDeclared(request, formLimit), Stream.interruptWhen(parts, failWhenSlow)),
        )
      }),

    drop: (request) =>
      Effect.sync(() => {
        const source = NodeHttpServerRequest.toIncomingMessage(request)
        if (source.complete) return
        if (declaredSize(request) > DROPPED_MAX_BYTES) {
          NodeHttpServerRequest.toServerResponse(request).shouldKeepAlive = false
        }
        source.resume()
      }),
  })
}

type Request = HttpServerRequest.HttpServerRequest

type Inspect<E> = (piece: Uint8Array) => Effect.Effect<void, E>

/** The size in bytes that the request declares for its body; 0 without `Content-Length`. */
const declaredSize = ({ headers }: Request): number => Number(headers["content-length"] ?? 0)

/** Fails before anything is read of a body that declares more bytes than it may have. */
const checkDeclared = (request: Request, limit: number) =>
  Effect.suspend(() => (declaredSize(request) > limit ? new BodyTooLarge({ limit }) : Effect.void))

/** A request's body, chunk by chunk. Chunks are read on demand, so a slow consumer slows down the sender. */
const read = (request: Request): Stream.Stream<Uint8Array, BodyUnreadable> => {
  const source = NodeHttpServerRequest.toIncomingMessage(request)
  return Stream.repeatEffectOption(
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
      askForBody(source, NodeHttpServerRequest.toServerResponse(request))
      if (source.readableEnded) resume(Effect.fail(Option.none()))
      else if (source.destroyed) cut()
      else source.resume()
      return Effect.sync(() => {
        stop()
        source.pause()
      })
    }),
  )
}

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
