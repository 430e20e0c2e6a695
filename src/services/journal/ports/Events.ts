import type { Effect, Queue, Scope } from "effect"
import type { Event, EventFilter, LogSummary, NewEvent } from "../../../domain/Event.ts"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { RunId, SessionId } from "../../../domain/Ids.ts"
import type { Viewer } from "../../../domain/Viewer.ts"

/** The log of everything that happens. */
export interface EventRecords {
  /** Appends an event that belongs to no other record's transaction. */
  readonly append: (event: NewEvent) => Effect.Effect<void, StorageFailed>
  /**
   * Subscribes to what is committed from now on. Every subscriber gets every change; a change is published after its
   * transaction. The subscription ends with the scope.
   */
  readonly changes: Effect.Effect<Queue.Dequeue<Change>, never, Scope.Scope>
  /** Publishes a change that is not committed, such as one that is held in memory. */
  readonly publish: (change: Change) => Effect.Effect<void>
  /** Returns the sequence number of the newest event that is left; 0 if there is none. */
  readonly newest: Effect.Effect<number, StorageFailed>
  /** Returns the sequence number up to which retention has removed all events. */
  readonly trimmedTo: Effect.Effect<number, StorageFailed>
  /** Returns the newest events that match, newest first. */
  readonly latest: (filter: EventFilter, limit: number) => Effect.Effect<ReadonlyArray<Event>, StorageFailed>
  /** Returns the next events that match after that sequence number, in order. */
  readonly after: (
    seq: number,
    filter: EventFilter,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<Event>, StorageFailed>
  /** Returns what the viewer may see of the log, in numbers. */
  readonly summary: (viewer: Viewer) => Effect.Effect<LogSummary, StorageFailed>
}

/** What a transaction added. */
export interface Change {
  /** Whether it added events to the log. */
  readonly events: boolean
  /** The runs whose streams it added to. */
  readonly runs: ReadonlyArray<RunId>
  /** The sessions whose streams it added to: messages, or events about the session itself. */
  readonly sessions: ReadonlyArray<SessionId>
}
