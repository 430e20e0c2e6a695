import type { Effect, Option } from "effect"
import type { PoolFull, StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../../domain/Ids.ts"
import type { AgentSessionRef, SessionOpening, SessionRecord } from "../../../domain/Session.ts"
import type { Origin } from "../../../domain/Token.ts"
import type { NewAnswer } from "./Keys.ts"

/** Sessions. None shows one that is opening, unless it says so. */
export interface SessionRecords {
  /** Takes one of `limit` places, for a session that is opening, if its token is in force at that moment. */
  readonly reserve: (
    session: SessionOpening,
    limit: number,
  ) => Effect.Effect<void, PoolFull | Unauthorized | StorageFailed>
  /** opening → open. Fails unless its token still is in force. */
  readonly activate: (
    session: SessionId,
    ref: AgentSessionRef,
    at: number,
    kept?: NewAnswer,
  ) => Effect.Effect<void, Unauthorized | StorageFailed>
  /** Removes one that is opening, and gives back its place. */
  readonly abandon: (session: SessionId) => Effect.Effect<void, StorageFailed>
  /** Removes all that a server that died was opening; returns them, so that what else is left of them can be removed. */
  readonly abandonAll: Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  /** Whoever it belongs to. */
  readonly find: (session: SessionId) => Effect.Effect<Option.Option<SessionRecord>, StorageFailed>
  /** An app's own, newest first. */
  readonly list: (
    owner: TokenId,
    options: { readonly includeClosed: boolean },
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /** What the agent calls an open session from now on. */
  readonly refer: (session: SessionId, ref: AgentSessionRef) => Effect.Effect<void, StorageFailed>
  /** The agent has begun to answer in an open session: from now on there is a context to lose. */
  readonly answered: (session: SessionId) => Effect.Effect<void, StorageFailed>
  /** open → closed; false when it was closed already. */
  readonly close: (
    session: SessionId,
    at: number,
    origin: Origin | null,
  ) => Effect.Effect<boolean, StorageFailed>
  /** open → closed, by the sweeper, if no turn of it was accepted or ended since `idleSince` and none is unfinished. */
  readonly closeIdle: (
    session: SessionId,
    idleSince: number,
    at: number,
  ) => Effect.Effect<boolean, StorageFailed>
  /**
   * Those that `closeIdle` would close now: some hundreds of them, the longest idle first. To go on, name the last
   * one of those before.
   */
  readonly idle: (
    idleSince: number,
    after?: SessionRecord,
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /** Those that were closed by then: some hundreds of them, the longest closed first; goes on in the same way. */
  readonly closedBy: (
    at: number,
    after?: SessionRecord,
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>
  /** Removes a closed one for ever; its runs and events stay. False when it was not there. */
  readonly remove: (session: SessionId, at: number) => Effect.Effect<boolean, StorageFailed>
  /** Which of these are open or opening. */
  readonly living: (
    sessions: ReadonlyArray<SessionId>,
  ) => Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  /** How many are open or opening, of all apps. */
  readonly countOpen: Effect.Effect<number, StorageFailed>
}
