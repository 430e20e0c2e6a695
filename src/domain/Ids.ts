import { Schema } from "effect"

/** A ULID: 26 characters, sorts by the time it was made. */
const Ulid = Schema.String.pipe(Schema.pattern(/^[0-9A-HJKMNP-TV-Z]{26}$/))

/** One prompt execution: a one-shot now; a turn, a task or a spawn is a run as well. */
export const RunId = Ulid.pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type

/** An app's identity. Ownership goes by it, never by the name: a revoked name may be minted again. */
export const TokenId = Ulid.pipe(Schema.brand("TokenId"))
export type TokenId = typeof TokenId.Type

/** An uploaded file. What its app holds is the `ff_…` token; this is its name on disk and in events. */
export const FileId = Ulid.pipe(Schema.brand("FileId"))
export type FileId = typeof FileId.Type

/** A conversation with an agent; a UUID, as v0.2's were, in lower case only: one session has one name. */
export const SessionId = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  Schema.brand("SessionId"),
)
export type SessionId = typeof SessionId.Type

/** One HTTP request: the caller's own `X-Request-Id`, or one of ours. */
export const RequestId = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9._-]{1,128}$/),
  Schema.brand("RequestId"),
)
export type RequestId = typeof RequestId.Type
