import { Schema } from "effect"

/** The key of a request that its app may send again (`Idempotency-Key`), and what it stands for. */
export const IdempotencyKey = Schema.Struct({
  /** The route with its path: a key is known on the route that it was used on. */
  route: Schema.String,
  key: Schema.String,
  /** SHA-256 of the request's fields, in hex. */
  fingerprint: Schema.String,
})
export type IdempotencyKey = typeof IdempotencyKey.Type

/** How long a key is kept, in milliseconds. Afterwards it is as good as new. */
export const IDEMPOTENCY_KEY_MILLIS = 24 * 60 * 60 * 1000

/** The request that caused a change: every audit row carries its id and its address. */
export const Origin = Schema.Struct({
  requestId: Schema.String,
  address: Schema.String,
  /** Stored in the transaction of the change, with the answer that a repeated request gets. */
  idempotencyKey: Schema.optional(IdempotencyKey),
})
export type Origin = typeof Origin.Type

/** The origin of what this process does by itself, without a request: an embedder's calls. */
export const IN_PROCESS: Origin = { requestId: "in-process", address: "127.0.0.1" }
