import type { HttpServerRequest } from "@effect/platform"
import { Duration, Effect, Layer, Stream } from "effect"
import { BodyNotForm, BodyTooLarge, BodyUnreadable, RequestTooSlow } from "../../http/HttpFailure.ts"
import { type FormPart, RequestBody } from "../../http/RequestBody.ts"

/** In what time a body must be there. */
const PATIENCE = Duration.seconds(60)
/** Parts that a form may have. */
const PARTS_MAX = 16

/** Bodies of requests of this process, up to their limits. A form is taken apart when it is there as a whole. */
export const layer = (limits: { readonly json: number; readonly form: number }) =>
  Layer.succeed(RequestBody, {
    bytes: (request) => whole(request, limits.json),
    form: (request) =>
      Stream.unwrap(
        Effect.map(
          Effect.flatMap(whole(request, limits.form), (bytes) =>
            partsOf(request.headers["content-type"] ?? "", bytes),
          ),
          Stream.fromIterable,
        ),
      ),
    drop: (request) =>
      Effect.sync(() => {
        const { body } = sourceOf(request)
        if (body !== null && !body.locked) body.cancel().catch(() => {})
      }),
  })

const sourceOf = (request: HttpServerRequest.HttpServerRequest): Request => request.source as Request

const whole = (request: HttpServerRequest.HttpServerRequest, limit: number) => {
  const { body } = sourceOf(request)
  if (body === null) return Effect.succeed(new Uint8Array())
  return Stream.fromReadableStream({ evaluate: () => body, onError: () => new BodyUnreadable() }).pipe(
    Stream.mapAccumEffect(0, (before, bytes: Uint8Array) => {
      const size = before + bytes.length
      return size > limit ? new BodyTooLarge({ limit }) : Effect.succeed([size, bytes] as const)
    }),
    Stream.runCollect,
    Effect.map(joined),
    Effect.timeoutFail({ duration: PATIENCE, onTimeout: () => new RequestTooSlow() }),
  )
}

const joined = (pieces: Iterable<Uint8Array>): Uint8Array => {
  const all = [...pieces]
  const bytes = new Uint8Array(all.reduce((size, piece) => size + piece.length, 0))
  let at = 0
  for (const piece of all) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

const partsOf = (contentType: string, bytes: Uint8Array) =>
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
