import type { HttpServerRequest } from "@effect/platform"
import { Context, Effect, type Stream } from "effect"
import type { Issue, Overloaded } from "../domain/Failure.ts"
import {
  type BodyNotForm,
  BodyNotJson,
  type BodyTooLarge,
  type BodyUnreadable,
  type RequestTooSlow,
  TooManyFields,
  UnsupportedMediaType,
} from "./HttpFailure.ts"

/** One piece of a multipart form. Pieces come in the order of the wire. */
export type FormPart =
  | { readonly _tag: "Field"; readonly name: string; readonly value: string }
  | { readonly _tag: "FileStart"; readonly name: string; readonly filename: string }
  | { readonly _tag: "FileBytes"; readonly bytes: Uint8Array }

/** Port: reads a request's body, with limits on its size and on its time. */
export class RequestBody extends Context.Tag("clawdforge/http/RequestBody")<
  RequestBody,
  {
    /**
     * Reads the whole body. Limits hold for this body, and for all bodies together that arrive at the same time: beyond
     * the second one it fails with `Overloaded`.
     */
    readonly bytes: (
      request: HttpServerRequest.HttpServerRequest,
    ) => Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable | RequestTooSlow | Overloaded>
    /** The parts of a multipart form, read no faster than the consumer takes them. It can be read once only. */
    readonly form: (
      request: HttpServerRequest.HttpServerRequest,
    ) => Stream.Stream<FormPart, BodyNotForm | BodyTooLarge | BodyUnreadable | RequestTooSlow>
    /**
     * Drops what is still to come of the body. Call it before an error answer, which does not wait for that. The
     * connection stays in use after a small rest, and is closed after a large one.
     */
    readonly drop: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>
  }
>() {}

const FIELDS_MAX = 64
/** The most entries that a list or an object in a field may have. */
const ENTRIES_MAX = 4096

const notJson = Effect.suspend(() => new UnsupportedMediaType({ supported: ["application/json"] }))

/**
 * The request, whose body can be read as JSON only, and fails with the contract's failures.
 *
 * The framework's own body has no working limit, answers broken JSON with an empty 400, and accepts any media type for a
 * JSON route. The body is read when the route reads it, which is after admission.
 */
export const withJsonBody = (
  request: HttpServerRequest.HttpServerRequest,
  body: Context.Tag.Service<RequestBody>,
): HttpServerRequest.HttpServerRequest => {
  const json = isPlainJson(request.headers) ? Effect.flatMap(body.bytes(request), parse) : notJson
  return Object.create(request, {
    json: { value: json },
    text: { value: notJson },
    arrayBuffer: { value: notJson },
    urlParamsBody: { value: notJson },
    multipart: { value: notJson },
  }) as HttpServerRequest.HttpServerRequest
}

/** JSON is UTF-8 (RFC 8259). A request without a content type counts as JSON, as in v0.2. */
const isPlainJson = (headers: HttpServerRequest.HttpServerRequest["headers"]): boolean =>
  /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i.test(
    headers["content-type"] ?? "application/json",
  ) && isUncompressed(headers)

const parse = (bytes: Uint8Array): Effect.Effect<unknown, BodyNotJson | TooManyFields> =>
  Effect.try({
    try: () => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown,
    catch: () => new BodyNotJson(),
  }).pipe(
    Effect.filterOrFail(
      (value) =>
        // Checked first: for a string, `Object.values` would give each character.
        typeof value !== "object" ||
        value === null ||
        (entryCount(value) <= FIELDS_MAX &&
          Object.values(value).every((field) => entryCount(field) <= ENTRIES_MAX)),
      () => new TooManyFields({ limit: FIELDS_MAX }),
    ),
  )

/** Compressed bodies are refused: one could be a decompression bomb. */
export const isUncompressed = (headers: HttpServerRequest.HttpServerRequest["headers"]): boolean =>
  /^(identity)?$/i.test(headers["content-encoding"] ?? "")

/** An issue quotes so much of a field's name. The client chooses the name, so it may be very long. */
const FIELD_MAX_CHARS = 64

export const issueAt = (path: ReadonlyArray<PropertyKey>, message: string): Issue => ({
  path: path.map((part) => (typeof part === "number" ? part : String(part).slice(0, FIELD_MAX_CHARS))),
  message,
})

/** The number of entries of a list or an object; 0 for any other value. */
const entryCount = (value: unknown): number => {
  if (Array.isArray(value)) return value.length
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0
}
