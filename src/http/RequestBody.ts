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

/** What a form consists of, in the order in which it comes over the wire. */
export type FormPart =
  | { readonly _tag: "Field"; readonly name: string; readonly value: string }
  | { readonly _tag: "FileStart"; readonly name: string; readonly filename: string }
  | { readonly _tag: "FileBytes"; readonly bytes: Uint8Array }

/** Port: a request's body, which must arrive in a bounded time. */
export class RequestBody extends Context.Tag("clawdforge/http/RequestBody")<
  RequestBody,
  {
    /** All of it, up to a limit, also of all that arrive at once. */
    readonly bytes: (
      request: HttpServerRequest.HttpServerRequest,
    ) => Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable | RequestTooSlow | Overloaded>
    /** A form as it comes, no faster than it is taken, up to a limit; to be read once. */
    readonly form: (
      request: HttpServerRequest.HttpServerRequest,
    ) => Stream.Stream<FormPart, BodyNotForm | BodyTooLarge | BodyUnreadable | RequestTooSlow>
    /**
     * To be called before a refusal is sent: reads what is left of the body, up to a limit, where to answer and close
     * under a client that still sends would reset the connection, and it would never see the answer.
     */
    readonly drop: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>
  }
>() {}

const FIELDS_MAX = 64
/** Entries of a list or an object in a field. */
const ENTRIES_MAX = 4096

const unsupported = Effect.suspend(() => new UnsupportedMediaType({ supported: ["application/json"] }))

/**
 * The request with a body that is JSON and bounded, or a failure of ours. The framework's own has no working
 * limit, answers broken JSON with an empty 400, and takes any media type for a JSON route. The body is read when a
 * route asks for it, which is after admission.
 */
export const withJsonBody = (
  request: HttpServerRequest.HttpServerRequest,
  body: Context.Tag.Service<RequestBody>,
): HttpServerRequest.HttpServerRequest => {
  const json = isPlainJson(request.headers) ? Effect.flatMap(body.bytes(request), parse) : unsupported
  return Object.create(request, {
    json: { value: json },
    text: { value: unsupported },
    arrayBuffer: { value: unsupported },
    urlParamsBody: { value: unsupported },
    multipart: { value: unsupported },
  }) as HttpServerRequest.HttpServerRequest
}

/** JSON is UTF-8 (RFC 8259); no type at all is taken for JSON, as v0.2 did. */
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
        // A string has as many values as characters.
        typeof value !== "object" ||
        value === null ||
        (size(value) <= FIELDS_MAX && Object.values(value).every((field) => size(field) <= ENTRIES_MAX)),
      () => new TooManyFields({ limit: FIELDS_MAX }),
    ),
  )

/** Bodies are taken as they are; a compressed one could be a bomb. */
export const isUncompressed = (headers: HttpServerRequest.HttpServerRequest["headers"]): boolean =>
  /^(identity)?$/i.test(headers["content-encoding"] ?? "")

/** Names of fields are the client's own words: enough of one to recognise it. */
const FIELD_MAX_CHARS = 64

export const issueAt = (path: ReadonlyArray<PropertyKey>, message: string): Issue => ({
  path: path.map((part) => (typeof part === "number" ? part : String(part).slice(0, FIELD_MAX_CHARS))),
  message,
})

/** How many entries a list or an object has; of anything else, none. */
const size = (value: unknown): number => {
  if (Array.isArray(value)) return value.length
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0
}
