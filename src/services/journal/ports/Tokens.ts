import type { Effect, Option } from "effect"
import type { StorageFailed, TokenNameTaken } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { AppToken, Origin, TokenName } from "../../../domain/Token.ts"

export interface TokenRecords {
  /** Fails when a token of that name is in force. */
  readonly insert: (
    token: AppToken,
    hash: string,
    origin: Origin,
  ) => Effect.Effect<void, TokenNameTaken | StorageFailed>
  /** The token in force with that hash. */
  readonly findByHash: (hash: string) => Effect.Effect<Option.Option<AppToken>, StorageFailed>
  /** All that ever were, oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<AppToken>, StorageFailed>
  /** Who was revoked now; else whether the name ever was in force. */
  readonly revoke: (
    name: TokenName,
    at: number,
    origin: Origin,
  ) => Effect.Effect<TokenId | "unknown" | "already_revoked", StorageFailed>
  readonly touch: (lastUsed: ReadonlyMap<TokenId, number>) => Effect.Effect<void, StorageFailed>
}
