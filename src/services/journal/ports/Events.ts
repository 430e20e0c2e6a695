import type { Effect } from "effect"
import type { EventFilter, LogEvent, LogSummary } from "../../../domain/Event.ts"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"

/** The log of all that happened. */
export interface EventRecords {
  /** Appends what happened to no run, session, app or upload: all else comes with its own record. */
  readonly append: (event: Pick<LogEvent, "type" | "at" | "data">) => Effect.Effect<void, StorageFailed>
  /** For one who waits: returns when something may have been appended since it last did. */
  readonly appended: Effect.Effect<void>
  /** The newest there ever was; 0 when there was none. */
  readonly newest: Effect.Effect<number, StorageFailed>
  /** How far retention has come: all up to there are gone. */
  readonly trimmedTo: Effect.Effect<number, StorageFailed>
  /** The newest that match, newest first. */
  readonly latest: (
    filter: EventFilter,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<LogEvent>, StorageFailed>
  /** The next that match after that place, in their order. */
  readonly after: (
    seq: number,
    filter: EventFilter,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<LogEvent>, StorageFailed>
  /** What there is of one app's, or of everybody's. */
  readonly summary: (owner: TokenId | undefined) => Effect.Effect<LogSummary, StorageFailed>
}
