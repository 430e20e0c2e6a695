import { Schema } from "effect"

/** A ULID: 26 characters that sort by the time of creation. */
const Ulid = Schema.String.pipe(Schema.pattern(/^[0-9A-HJKMNP-TV-Z]{26}$/))

/** A run: the execution of one prompt, as a one-shot or as a turn of a session. */
export const RunId = Ulid.pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type

/** An app's identity, which owns things. Its name does not: a revoked name may be minted again. */
export const TokenId = Ulid.pipe(Schema.brand("TokenId"))
export type TokenId = typeof TokenId.Type

/** An uploaded file, on disk and in events. Its app knows it by the `ff_…` token. */
export const FileId = Ulid.pipe(Schema.brand("FileId"))
export type FileId = typeof FileId.Type

/** A conversation with an agent: a UUID as in v0.2, in lower case only, so that a session has one name. */
export const SessionId = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  Schema.brand("SessionId"),
)
export type SessionId = typeof SessionId.Type

/** An HTTP request: the caller's own `X-Request-Id`, or one that the service made. */
export const RequestId = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9._-]{1,128}$/),
  Schema.brand("RequestId"),
)
export type RequestId = typeof RequestId.Type
