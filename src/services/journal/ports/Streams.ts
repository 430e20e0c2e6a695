import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { RunId } from "../../../domain/Ids.ts"
import type { StreamEnd, StreamEvent, StreamGap } from "../../../domain/Stream.ts"

/** The streams of runs. Their beginning and their end are written by the records of runs. */
export interface StreamRecords {
  /**
   * Appends messages of runs, in this order: all of them or none. A killed service loses nothing that was appended; a
   * power failure may lose what was appended since the last other transaction.
   */
  readonly append: (messages: ReadonlyArray<NewMessage>) => Effect.Effect<void, StorageFailed>
  /** Returns a run's next events after that sequence number: some of them, and at least one, however large it is. */
  readonly read: (run: RunId, after: number) => Effect.Effect<ReadonlyArray<StreamEvent>, StorageFailed>
  /** Returns the part after that sequence number that is gone, if any is. */
  readonly gap: (run: RunId, after: number) => Effect.Effect<Option.Option<StreamGap>, StorageFailed>
  /** Returns how many bytes the run's stream has after that sequence number. */
  readonly bytesAfter: (run: RunId, after: number) => Effect.Effect<number, StorageFailed>
  /** Returns the end of a run's stream; none if the run has not ended or its text is gone. */
  readonly end: (run: RunId) => Effect.Effect<Option.Option<StreamEnd>, StorageFailed>
}

/** A message of a run. */
export interface NewMessage {
  readonly run: RunId
  readonly at: number
  /** JSON without a line break. */
  readonly body: string
}
