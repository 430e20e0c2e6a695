import type { Effect } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"

/**
 * The removal of what has been kept long enough. Each call is one short transaction and takes the oldest first; other
 * work gets its turn before the call returns.
 */
export interface RetentionRecords {
  /** Removes the texts and inputs of runs whose time for them was over at `at`. */
  readonly dropTexts: (at: number) => Effect.Effect<Dropped, StorageFailed>
  /**
   * Removes rows of streams that are too old or too many. The next step takes the pass that this one returns. A run
   * loses its rows from its beginning on.
   */
  readonly dropStreams: (pass: StreamPass) => Effect.Effect<DroppedRows, StorageFailed>
  /** Removes what agents said between turns before that time. A session loses its messages from its beginning on. */
  readonly dropSessionMessages: (before: number) => Effect.Effect<Dropped, StorageFailed>
  /** Removes events from before that time. */
  readonly dropEvents: (before: number) => Effect.Effect<Dropped, StorageFailed>
  /** Removes idempotency keys that had expired at `at`. */
  readonly dropKeys: (at: number) => Effect.Effect<Dropped, StorageFailed>
  /** Measures the ledger. */
  readonly sizes: Effect.Effect<Sizes, StorageFailed>
  /** Gives up to `bytes` of unused space back to the disk, and returns how many unused bytes are left. */
  readonly shrink: (bytes: number) => Effect.Effect<number, StorageFailed>
  /** Removes the remains of deleted texts from every file of the ledger, as far as no reader needs them. */
  readonly purge: Effect.Effect<void, StorageFailed>
}

/** How long an ended run keeps its rows, in milliseconds, even when there are too many: a client may still be reading. */
export const ROWS_MIN_MILLIS = 60_000

/** What a step removed. */
export interface Dropped {
  readonly removed: number
  /** Whether nothing is left to remove. */
  readonly done: boolean
}

/** A pass over the rows of all streams, from the oldest on. */
export interface StreamPass {
  /**
   * When the pass began. Runs that had not ended a minute before that keep their rows, and so do runs that an
   * idempotency key of the last day names.
   */
  readonly at: number
  /** Rows from before that time are too old. */
  readonly before: number
  /** Rows beyond that number are too many. */
  readonly maxRows: number
  /** The sequence number of the last row that was looked at; 0 at first. */
  readonly seq: number
}

export interface DroppedRows extends Dropped {
  readonly pass: StreamPass
}

/** What the ledger holds, and the space that it takes. */
export interface Sizes {
  readonly events: number
  /** Rows of the streams of runs, and messages in the streams of sessions. */
  readonly streamRows: number
  /** Bytes of the texts in these rows. */
  readonly streamBytes: number
  readonly databaseBytes: number
  /** Unused bytes of the database. */
  readonly freeBytes: number
}
