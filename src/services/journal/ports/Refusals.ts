import type { Effect } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { Refusal } from "../../../domain/Refusal.ts"

export interface RefusalRecords {
  /** An event for each, in this order: all of them, or none. */
  readonly append: (refusals: ReadonlyArray<Refusal>) => Effect.Effect<void, StorageFailed>
}
