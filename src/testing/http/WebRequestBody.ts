import type { HttpServerRequest } from "@effect/platform"
import { Duration, Effect, Layer, Stream } from "effect"
import { BodyNotForm, BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { type FormPart, RequestBody } from "../../http/RequestBody.ts"

/** How long a request can take to send its body. */
const BODY_TIMEOUT = Duration.seconds(60)
/** How many parts a form can have. */
const PARTS_MAX = 16

/** Bodies of web `Request`s, with limits in bytes. A form is parsed when its body is complete. */
export const layer = (limits: { readonly json: number; readonly form: number }) =>
  Layer.succeed(RequestBody, {
    bytes: (request, inspect) => readAll(request, limits.json, inspect),
    form: (request) =>
      Stream.unwrap(
        Effect.map(
          Effect.flatMap(
            readAll(request, limits.form, () => Effect.void),
            (bytes) => parseForm(request.headers["content-type"] ?? "", bytes),
          ),
          Stream.fromIterable,
        ),
      ),
    drop: (request) =>
      Effect.sync(() => {
        const { body } = webRequestOf(request)
        if (body !== null && !body.locked) body.cancel().catch(() => {})
      }),
  })

const webRequestOf = (request: HttpServerRequest.HttpServerRequest): Request => request.source as Request

const readAll = <E>(
  request: HttpServerRequest.HttpServerRequest,
  limit: number,
  inspect: (piece: Uint8Array) => Effect.Effect<void, E>,
) => {
  const { body } = webRequestOf(request)
  if (body === null) return Effect.succeed(new Uint8Array())
  return Stream.fromReadableStream({ evaluate: () => body, onError: () => new BodyUnreadable() }).pipe(
    Stream.mapAccumEffect(0, (before, bytes: Uint8Array) => {
      const size = before + bytes.length
      return size > limit ? new BodyTooLarge({ limit }) : Effect.succeed([size, bytes] as const)
    }),
    Stream.tap(inspect),
    Stream.runCollect,
    Effect.map(concat),
    Effect.timeoutFail({ duration: BODY_TIMEOUT, onTimeout: () => new RequestTooSlow() }),
  )
}

const concat = (pieces: Iterable<Uint8Array>): Uint8Array => {
  const list = [...pieces]
  const bytes = new Uint8Array(list.reduce((size, piece) => size + piece.length, 0))
  let at = 0
  for (const piece of list) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

const parseForm = (contentType: string, bytes: Uint8Array) =>
  Effect.tryPromise({
    try: async (): Promise<ReadonlyArray<FormPart>> => {
      const form = await new Response(bytes as Uint8Array<ArrayBuffer>, {
        headers: { "content-type": contentType },
      }).formData()
      const parts: Array<FormPart> = []
      for (const [name, value] of form) {
        if (typeof value === "string") parts.push({ _tag: "Field", name, value })
        else {
          parts.push({ _tag: "FileStart", name, filename: value.name })
          parts.push({ _tag: "FileBytes", bytes: await value.bytes() })
        }
      }
      return parts
    },
    catch: () => new BodyNotForm(),
  }).pipe(
    Effect.filterOrFail(
      (parts) => parts.filter(({ _tag }) => _tag !== "FileBytes").length <= PARTS_MAX,
      () => new BodyNotForm(),
    ),
  )
