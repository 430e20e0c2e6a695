import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { Claim } from "../../../domain/Run.ts"

/** Requests that their apps may send again. */
export interface KeyRecords {
  /** What an app asked with that key on that route, and what it was answered, unless that is too long ago by then. */
  readonly find: (
    owner: TokenId,
    claim: Pick<Claim, "route" | "key">,
    at: number,
  ) => Effect.Effect<Option.Option<KeptAnswer>, StorageFailed>
}

export interface KeptAnswer {
  readonly fingerprint: string
  /** JSON; of a run, `{"run_id": …}`. */
  readonly answer: string
}

/** What an app is told when it asks the same again: kept with the change that it tells of, or not at all. */
export interface NewAnswer {
  readonly claim: Claim
  /** To be written as JSON. */
  readonly answer: unknown
}
