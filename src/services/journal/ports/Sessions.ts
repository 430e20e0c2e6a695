import type { Effect, Option } from "effect"
import type { PoolFull, StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../../domain/Ids.ts"
import type { Origin } from "../../../domain/Origin.ts"
import type { AgentSessionRef, SessionOpening, SessionRecord } from "../../../domain/Session.ts"

/** The rows of sessions. A session that is opening is shown only where that is said. */
export interface SessionRecords {
  /** Takes one of `limit` places for a session that is opening. Fails unless its token is in force at that moment. */
  readonly reserve: (
    session: SessionOpening,
    limit: number,
  ) => Effect.Effect<void, PoolFull | Unauthorized | StorageFailed>
  /**
   * opening → open, with its event, and the idempotency key of its origin. Fails unless its token is still in force.
   */
  readonly activate: (
    session: SessionOpening,
    ref: AgentSessionRef,
  ) => Effect.Effect<void, Unauthorized | StorageFailed>
  /** Removes a session that is opening, and so gives its place back. */
  readonly abandon: (session: SessionId) => Effect.Effect<void, StorageFailed>
  /** Removes all sessions that a server was opening when it died. Returns their ids. */
  readonly abandonAll: Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  /** Returns a session, whoever owns it. */
  readonly find: (session: SessionId) => Effect.Effect<Option.Option<SessionRecord>, StorageFailed>
  /** Returns the app's sessions, newest first. */
  readonly list: (
    owner: TokenId,
    options: { readonly includeClosed: boolean },
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /** Sets the agent's own name for an open session, when the agent gave it a new one. */
  readonly setRef: (session: SessionId, ref: AgentSessionRef) => Effect.Effect<void, StorageFailed>
  /** Sets `answered` of an open session: the agent has answered in it, so it has a context from now on. */
  readonly answered: (session: SessionId) => Effect.Effect<void, StorageFailed>
  /**
   * Records what a session cost so far, as its agent says outside of the transaction that ends a turn; and what one turn
   * cost, if that is known and the turn has no cost yet.
   */
  readonly setAgentCost: (
    session: SessionId,
    totalUsd: number,
    turn: { readonly run: RunId; readonly costUsd: number } | null,
  ) => Effect.Effect<void, StorageFailed>
  /** open → closed, with its event. Returns false if it was not open. */
  readonly close: (
    session: SessionId,
    at: number,
    origin: Origin | null,
  ) => Effect.Effect<boolean, StorageFailed>
  /**
   * open → closed by the sweeper, with its event, if no turn of it was accepted or ended since `idleSince` and none is
   * unfinished. Returns whether it closed it.
   */
  readonly closeIdle: (
    session: SessionId,
    idleSince: number,
    at: number,
  ) => Effect.Effect<boolean, StorageFailed>
  /**
   * Returns some hundreds of the sessions that `closeIdle` closes now, the longest idle first, after `after` if that is
   * given.
   */
  readonly idle: (
    idleSince: number,
    after?: SessionRecord,
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /**
   * Returns some hundreds of the sessions that were closed at that time or earlier, the longest closed first; after
   * `after`, if that is given.
   */
  readonly closedUntil: (
    at: number,
    after?: SessionRecord,
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /** Removes a closed session for ever, with its event; its runs and events stay. Returns false if it was not there. */
  readonly remove: (session: SessionId, at: number) => Effect.Effect<boolean, StorageFailed>
  /** Returns those of the sessions that are open or opening. */
  readonly liveAmong: (
    sessions: ReadonlyArray<SessionId>,
  ) => Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  /** Counts the sessions that are open or opening, of all apps. */
  readonly countOpen: Effect.Effect<number, StorageFailed>
}
