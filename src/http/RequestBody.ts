import type { HttpServerRequest } from "@effect/platform"
import { Context, Effect, type Stream } from "effect"
import type { Issue } from "../domain/Failure.ts"
import { JsonScan } from "../domain/JsonScan.ts"
import { BYTES_PER_CHAR, RequestMemory } from "../services/memory/MemoryBudget.ts"
import {
  type BodyNotForm,
  BodyNotJson,
  BodyTooComplex,
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
     * Reads the whole body, within its limits. Each piece is passed to `inspect` as it arrives; its failure ends the
     * reading.
     */
    readonly bytes: <E>(
      request: HttpServerRequest.HttpServerRequest,
      inspect: (piece: Uint8Array) => Effect.Effect<void, E>,
    ) => Effect.Effect<Uint8Array, E | BodyTooLarge | BodyUnreadable | RequestTooSlow>
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

/** No field has more values, or more levels. */
const BODY_LIMITS = { levels: 1000, values: 50_000 }
/** A body up to this size is always read: a cancel, a revocation. */
const SMALL_BYTES = 64 * 1024
const FIELDS_MAX = 64
/** The most entries that a list or an object in a field may have. */
const ENTRIES_MAX = 4096

const JSON_TYPE = "application/json"

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
  const json = Effect.suspend(() => checkJson(request.headers)).pipe(
    Effect.zipRight(readSimple(request, body)),
    Effect.flatMap(parse),
  )
  // The framework chooses one of these by the media type.
  return Object.create(request, {
    json: { value: json },
    text: { value: json },
    arrayBuffer: { value: json },
    urlParamsBody: { value: json },
    multipart: { value: json },
  }) as HttpServerRequest.HttpServerRequest
}

/** Reads a body. Fails as soon as it is more complex than it may be, or with `Overloaded` if there is no memory for it. */
const readSimple = (request: HttpServerRequest.HttpServerRequest, body: Context.Tag.Service<RequestBody>) =>
  Effect.suspend(() => {
    const scan = new JsonScan(BODY_LIMITS)
    let size = 0
    return body.bytes(
      request,
      Effect.fnUntraced(function* (piece) {
        if (!scan.add(piece)) return yield* new BodyTooComplex(BODY_LIMITS)
        size += piece.length
        if (size > SMALL_BYTES) yield* (yield* RequestMemory).take(piece.length * BYTES_PER_CHAR)
      }),
    )
  })

type Headers = HttpServerRequest.HttpServerRequest["headers"]

/**
 * Fails unless the headers announce plain JSON. A request without a content type counts as JSON, as in v0.2. Parameters
 * other than `charset` change nothing about JSON (RFC 8259, section 11), and are ignored.
 */
const checkJson = (headers: Headers): Effect.Effect<void, UnsupportedMediaType> => {
  const [type = "", ...parameters] = (headers["content-type"] ?? JSON_TYPE).toLowerCase().split(";")
  if (type.trim() !== JSON_TYPE) return unsupported("media_type", JSON_TYPE)
  if (!parameters.every(isUtf8)) return unsupported("charset", JSON_TYPE)
  return checkUncompressed(headers, JSON_TYPE)
}

/** Whether a parameter of a media type names no other charset than UTF-8, or its subset ASCII. */
const isUtf8 = (parameter: string): boolean => {
  const [, charset] = /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(parameter) ?? []
  return charset === undefined || /^(utf-?8|us-ascii)?$/.test(charset)
}

export const unsupported = (because: UnsupportedMediaType["because"], supported: string) =>
  new UnsupportedMediaType({ because, supported })

/** Fails if the body is compressed: it could be a decompression bomb. */
export const checkUncompressed = (
  headers: Headers,
  supported: string,
): Effect.Effect<void, UnsupportedMediaType> =>
  /^(identity)?$/i.test((headers["content-encoding"] ?? "").trim())
    ? Effect.void
    : unsupported("compressed", supported)

const parse = (bytes: Uint8Array): Effect.Effect<unknown, BodyNotJson | TooManyFields> =>
  Effect.flatMap(decode(bytes), (text) =>
    Effect.try({
      try: () => JSON.parse(text) as unknown,
      catch: () => new BodyNotJson({ because: /\S/.test(text) ? "grammar" : "empty" }),
    }),
  ).pipe(
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

/** The text of a body in UTF-8, without a byte order mark. */
const decode = (bytes: Uint8Array): Effect.Effect<string, BodyNotJson> =>
  Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => new BodyNotJson({ because: "encoding" }),
  }).pipe(
    // Of a JSON text in UTF-16 or UTF-32, one of the first four bytes is zero. Such a text can be valid UTF-8 too.
    Effect.filterOrFail(
      () => !bytes.subarray(0, 4).includes(0),
      () => new BodyNotJson({ because: "encoding" }),
    ),
  )

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
