import type { Effect } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { Refusal } from "../../../domain/Refusal.ts"

/** The record of refused admissions. */
export interface RefusalRecords {
  /** Appends an event for each refusal, in this order: all of them or none. */
  readonly append: (refusals: ReadonlyArray<Refusal>) => Effect.Effect<void, StorageFailed>
}
