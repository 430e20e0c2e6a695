import type { Effect } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"

/**
 * What is kept no longer goes in small steps, each a short transaction of its own; others have their turn before it
 * returns. Each step takes the oldest first.
 */
export interface RetentionRecords {
  /** Takes the text of runs whose time for it was over by then. */
  readonly dropTexts: (at: number) => Effect.Effect<Dropped, StorageFailed>
  /**
   * Removes rows of streams: those that are too old, and those that are too many. To go on, give it what it made of
   * the pass. A run's rows go from its beginning on.
   */
  readonly dropStreams: (pass: StreamPass) => Effect.Effect<DroppedRows, StorageFailed>
  /** Removes events of before that time. */
  readonly dropEvents: (before: number) => Effect.Effect<Dropped, StorageFailed>
  /** Removes idempotency keys that are older than a day. */
  readonly dropKeys: (at: number) => Effect.Effect<Dropped, StorageFailed>
  readonly sizes: Effect.Effect<Sizes, StorageFailed>
  /** Gives so many of the file's unused pages back to the disk, and returns how many are left. */
  readonly vacuum: (pages: number) => Effect.Effect<number, StorageFailed>
  /** Takes the journal into the file, and what is gone out of the journal; the file is as small then as it can be. */
  readonly checkpoint: Effect.Effect<void, StorageFailed>
}

export interface Dropped {
  readonly removed: number
  /** Whether there is nothing left to remove. */
  readonly done: boolean
}

/** One look at all rows of streams, from the oldest on. */
export interface StreamPass {
  /**
   * When it began. A run that had not ended a minute before that keeps its rows, and so does one that an idempotency
   * key of the last day names.
   */
  readonly at: number
  /** Rows of before that time are too old. */
  readonly before: number
  /** More rows than that are too many. */
  readonly maxRows: number
  /** The last row that was looked at; 0 at first. */
  readonly seq: number
}

export interface DroppedRows extends Dropped {
  readonly pass: StreamPass
}

/** What the ledger holds, and what that takes. */
export interface Sizes {
  readonly events: number
  readonly streamRows: number
  /** Of the texts in them. */
  readonly streamBytes: number
  readonly databaseBytes: number
  /** How much of the database is unused. */
  readonly freeBytes: number
}
