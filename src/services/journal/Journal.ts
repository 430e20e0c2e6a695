import { Clock, Context, Effect, Layer, Queue } from "effect"
import type { Event, EventFilter, LogSummary } from "../../domain/Event.ts"
import type { AnswerGone, StorageFailed } from "../../domain/Failure.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import type { SessionItem } from "../../domain/SessionStream.ts"
import type { StreamEnd, StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import type { Consumer } from "./Consumer.ts"
import { makeEventFeed } from "./EventFeed.ts"
import { Ledger, type NewMessage, type NewSessionMessage } from "./Ledger.ts"
import { makeMessageBuffer } from "./MessageBuffer.ts"
import { makeRunStreams } from "./RunStreams.ts"
import { makeSessionStreams } from "./SessionStreams.ts"

/** The stream of one run. */
export interface RunScope {
  readonly _tag: "Run"
  readonly run: RunId
}

/** The stream of one session: what its agent says while no turn is open, and what happens to the session. */
export interface SessionScope {
  readonly _tag: "Session"
  readonly session: SessionId
}

/** The log of everything that happens, as far as a viewer may see it and wants to. */
export interface LogScope {
  readonly _tag: "Log"
  readonly filter: EventFilter
}

/** What a reader reads or follows: the stream of one run or of one session, or the log. */
export type JournalScope = RunScope | SessionScope | LogScope

/** The items of a scope. A part of the stream of a run or a session may be gone, which is told as a gap. */
export type ItemOf<S extends JournalScope> = S extends RunScope
  ? StreamEvent | StreamGap
  : S extends SessionScope
    ? SessionItem
    : Event

export const runScope = (run: RunId): RunScope => ({ _tag: "Run", run })
export const sessionScope = (session: SessionId): SessionScope => ({ _tag: "Session", session })
export const logScope = (filter: EventFilter): LogScope => ({ _tag: "Log", filter })

/** Events that are read at once by default. */
const PAGE = 256

/**
 * Appends the messages of runs and of sessions, and reads and follows their streams and the event log. All have their
 * sequence numbers from one sequence. An item is stored in the {@link Ledger} before any reader gets it, so a reader that comes
 * later gets the same items, unless retention has removed them.
 *
 * Does not check who may read a run or a session: a caller gets it from `Runs` or `SessionPool` first, which check it. Of
 * the log, a reader gets only what the viewer in its `LogScope` may see.
 */
export class Journal extends Context.Tag("clawdforge/Journal")<
  Journal,
  {
    /**
     * Appends messages of one run, in order, each JSON without a line break. The messages of a run that is followed are
     * stored when this returns. Others may be stored up to a second later, or with the run's end: a service that is killed
     * in between loses them, before anybody has seen them.
     */
    readonly append: (run: RunId, messages: ReadonlyArray<string>) => Effect.Effect<void, StorageFailed>
    /**
     * Appends messages that agents sent about sessions while no turn of these was open, in order, each JSON without a line
     * break. They are stored when this returns. Messages of a session that is closed are dropped. Only the newest of
     * each session are kept.
     */
    readonly appendToSessions: (
      messages: ReadonlyArray<Omit<NewSessionMessage, "at">>,
    ) => Effect.Effect<void, StorageFailed>
    /**
     * Calls `write` with the messages of a run that are not stored yet. `write` must store them, in the transaction that
     * ends the run. If it fails, the messages are kept, and this can be called again.
     */
    readonly drain: <A, E>(
      run: RunId,
      write: (unstored: ReadonlyArray<NewMessage>) => Effect.Effect<A, E>,
    ) => Effect.Effect<A, E>
    /**
     * Reads the next items after a sequence number (0: from the beginning). Of a stream it returns some, at least
     * one, with a gap where items are gone; of the log at most `limit`, by default 256. Returns an empty list
     * if there are none.
     */
    readonly read: <S extends JournalScope>(
      scope: S,
      after: number,
      limit?: number,
    ) => Effect.Effect<ReadonlyArray<ItemOf<S>>, StorageFailed>
    /**
     * Gives a consumer the items after a sequence number, then those that come, in order, each once. A part that
     * retention removed is given as one gap. Returns after the end of a run's stream, and after the close of a session;
     * of the log, never. Any number of consumers may follow. Nothing is kept in memory for a slow one: items are read as
     * they are taken.
     */
    readonly follow: <S extends JournalScope, E>(
      scope: S,
      after: number,
      consumer: Consumer<ItemOf<S> | StreamGap, E>,
    ) => Effect.Effect<void, StorageFailed | E>
    /** Waits for a run's end, and returns it. Fails with `AnswerGone` if its text is no longer kept. */
    readonly outcome: (run: RunId) => Effect.Effect<StreamEnd, AnswerGone | StorageFailed>
    /** Returns how many bytes of a run's stream are stored after a sequence number. */
    readonly bytesAfter: (run: RunId, after: number) => Effect.Effect<number, StorageFailed>
    /** Returns the sequence number of the newest event of the log. */
    readonly newest: Effect.Effect<number, StorageFailed>
    /** Returns the newest events of the log that match, newest first. */
    readonly latest: (
      filter: EventFilter,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Event>, StorageFailed>
    /** Returns what the viewer may see of the log, in numbers. */
    readonly summary: (viewer: Viewer) => Effect.Effect<LogSummary, StorageFailed>
  }
>() {
  static readonly layer: Layer.Layer<Journal, StorageFailed, Ledger> = Layer.scoped(
    Journal,
    Effect.gen(function* () {
      const { events, runs, sessions, sessionMessages, streams } = yield* Ledger
      const changes = yield* events.changes
      const feed = yield* makeEventFeed(events)
      const buffer = yield* makeMessageBuffer(streams.append, (run) => runStreams.isFollowed(run))
      const runStreams = makeRunStreams({ runs, streams }, buffer.flush)
      const sessionStreams = makeSessionStreams({ sessions, sessionMessages })

      yield* Queue.take(changes).pipe(
        Effect.map((change) => {
          for (const run of change.runs) runStreams.wake(run)
          for (const session of change.sessions) sessionStreams.wake(session)
          if (change.events) feed.wake()
        }),
        Effect.forever,
        Effect.forkScoped,
      )

      const read = (
        scope: JournalScope,
        after: number,
        limit = PAGE,
      ): Effect.Effect<ReadonlyArray<StreamEvent | SessionItem | Event>, StorageFailed> => {
        switch (scope._tag) {
          case "Run":
            return runStreams.read(scope.run, after)
          case "Session":
            return sessionStreams.read(scope.session, after)
          case "Log":
            return events.after(after, scope.filter, limit)
        }
      }

      const follow = <E>(
        scope: JournalScope,
        after: number,
        consumer: Consumer<StreamEvent | SessionItem | Event, E>,
      ): Effect.Effect<void, StorageFailed | E> => {
        switch (scope._tag) {
          case "Run":
            return runStreams.follow(scope.run, after, consumer)
          case "Session":
            return sessionStreams.follow(scope.session, after, consumer)
          case "Log":
            return feed.follow(scope.filter, after, consumer)
        }
      }

      return {
        append: buffer.append,
        appendToSessions: (messages) =>
          Effect.flatMap(Clock.currentTimeMillis, (at) =>
            sessionMessages.append(messages.map((message) => ({ ...message, at }))),
          ),
        drain: buffer.drain,
        read: read as unknown as (typeof Journal.Service)["read"],
        follow: follow as (typeof Journal.Service)["follow"],
        outcome: runStreams.outcome,
        bytesAfter: (run, after) => Effect.zipRight(buffer.flush(run), runStreams.bytesAfter(run, after)),
        newest: feed.newest,
        latest: events.latest,
        summary: events.summary,
      }
    }),
  )
}
