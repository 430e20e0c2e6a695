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

/** An app's bearer token as the ledger knows it. Its secret is stored as a hash only. */
export const AppToken = Schema.Struct({
  id: TokenId,
  name: TokenName,
  /** The networks that the token may be used from. Empty: no limit of its own. */
  ipCidrs: Schema.Array(Schema.String),
  /** Milliseconds since 1970, like all times inside the service. */
  createdAt: Schema.Number,
  /** Written every few seconds. */
  lastUsedAt: Schema.NullOr(Schema.Number),
  revokedAt: Schema.NullOr(Schema.Number),
})
export type AppToken = typeof AppToken.Type

export { IN_PROCESS, Origin } from "./Origin.ts"
