import type { Effect, Option } from "effect"
import type { StorageFailed, TokenNameTaken } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { Origin } from "../../../domain/Origin.ts"
import type { AppToken, TokenName } from "../../../domain/Token.ts"

/** The rows of apps' tokens. */
export interface TokenRecords {
  /** Records a token with its event. Fails if a token of that name is in force. */
  readonly insert: (
    token: AppToken,
    hash: string,
    origin: Origin,
  ) => Effect.Effect<void, TokenNameTaken | StorageFailed>
  /** Returns the token in force with that hash. */
  readonly findByHash: (hash: string) => Effect.Effect<Option.Option<AppToken>, StorageFailed>
  /** Returns all tokens, revoked ones too, oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<AppToken>, StorageFailed>
  /** Revokes the token of that name, with its event. Returns its id, or why there was nothing to revoke. */
  readonly revoke: (
    name: TokenName,
    at: number,
    origin: Origin,
  ) => Effect.Effect<TokenId | "unknown" | "already_revoked", StorageFailed>
  /** Writes when tokens were last used. */
  readonly touch: (lastUsed: ReadonlyMap<TokenId, number>) => Effect.Effect<void, StorageFailed>
}
