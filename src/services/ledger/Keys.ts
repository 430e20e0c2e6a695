import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Claim } from "../../domain/Run.ts"

/** Requests that their apps may send again. */
export interface KeyRecords {
  /** What an app asked with that key on that route, and what it was answered. */
  readonly find: (
    owner: TokenId,
    claim: Pick<Claim, "route" | "key">,
  ) => Effect.Effect<Option.Option<KeptAnswer>, StorageFailed>
}

export interface KeptAnswer {
  readonly fingerprint: string
  /** JSON; of a run, `{"run_id": …}`. */
  readonly answer: string
}
