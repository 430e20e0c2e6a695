import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { RunId } from "../../../domain/Ids.ts"
import type { StreamEnd, StreamEvent, StreamGap } from "../../../domain/Stream.ts"

/** What runs say, message by message. Their beginning and their end come with the run's record. */
export interface StreamRecords {
  /** Appends messages, in this order: all of them, or none. */
  readonly append: (messages: ReadonlyArray<NewMessage>) => Effect.Effect<void, StorageFailed>
  /** What comes after that place, as far as it is there: some of it, and at least the next, however large that is. */
  readonly read: (run: RunId, after: number) => Effect.Effect<ReadonlyArray<StreamEvent>, StorageFailed>
  /** What is gone after that place, if anything is. */
  readonly gap: (run: RunId, after: number) => Effect.Effect<Option.Option<StreamGap>, StorageFailed>
  /** How many bytes are there after that place. */
  readonly bytesAfter: (run: RunId, after: number) => Effect.Effect<number, StorageFailed>
  /** The end of a run's stream, unless it has none yet, or its text is gone. */
  readonly end: (run: RunId) => Effect.Effect<Option.Option<StreamEnd>, StorageFailed>
}

/** A message of a run: JSON without a line break. */
export interface NewMessage {
  readonly run: RunId
  readonly at: number
  readonly body: string
}
