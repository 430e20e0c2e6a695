import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { IdempotencyKey } from "../../../domain/Origin.ts"

/**
 * The idempotency keys of requests. A key is written with the change that its request caused: by the records of runs,
 * sessions and files, from the origin of the change.
 */
export interface KeyRecords {
  /** Returns the answer that is stored for the app under that key of that route. None if the key has expired at `at`. */
  readonly find: (
    owner: TokenId,
    key: Pick<IdempotencyKey, "route" | "key">,
    at: number,
  ) => Effect.Effect<Option.Option<StoredAnswer>, StorageFailed>
}

/** The answer that is stored under a key. */
export interface StoredAnswer {
  /** Identifies the request that was answered. */
  readonly fingerprint: string
  /** JSON; for a run `{"run_id": …}`. */
  readonly answer: string
}
