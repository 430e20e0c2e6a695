import { Schema } from "effect"
import { expected } from "./Failure.ts"
import { TokenId } from "./Ids.ts"

export const TokenName = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9_-]{1,64}$/),
  Schema.brand("TokenName"),
  Schema.annotations({
    message: expected("must be 1 to 64 characters of a-z, 0-9, _ and -"),
    description: "An app's name, unique among the tokens in force.",
    examples: ["recipes" as never],
  }),
)
export type TokenName = typeof TokenName.Type

/** An app's bearer token as the ledger knows it: everything but the secret, of which only a hash is kept. */
export const AppToken = Schema.Struct({
  id: TokenId,
  name: TokenName,
  /** Addresses the token may be used from; empty means no limit of its own. */
  ipCidrs: Schema.Array(Schema.String),
  /** Milliseconds since 1970, as all times inside the service. */
  createdAt: Schema.Number,
  /** Written lazily: up to a few seconds behind. */
  lastUsedAt: Schema.NullOr(Schema.Number),
  revokedAt: Schema.NullOr(Schema.Number),
})
export type AppToken = typeof AppToken.Type

export { IN_PROCESS, Origin } from "./Origin.ts"
