import { Context, type Effect } from "effect"
import type {
  AgentRefusal,
  FileNotFound,
  InvalidRequest,
  PoolFull,
  SessionBusy,
  SessionClosed,
  SessionNotFound,
  ShuttingDown,
  StorageFailed,
  TurnFailure,
  Unauthorized,
} from "../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../domain/Ids.ts"
import type { Usage } from "../domain/Run.ts"
import type { Session, SessionRequest, TurnRequest } from "../domain/Session.ts"
import type { Origin } from "../domain/Token.ts"
import type { AcpMessage } from "./AcpxClient.ts"

/** What a turn came to. */
export interface TurnReport {
  /** The agent's messages of this turn, in order; the last is the result. Empty when it was cancelled before its start. */
  readonly events: ReadonlyArray<AcpMessage>
  /** From its start to its end; the time in the queue is not counted. */
  readonly durationMs: number
  readonly stopReason: string
  readonly responseChars: number
  readonly usage: Usage | null
  readonly costUsd: number | null
}

/** An accepted turn. It goes on by itself, whoever waits for it, until its recorded outcome. */
export interface OpenTurn {
  readonly id: RunId
  /** Counts the session's turns, from 1. */
  readonly index: number
  /** Waits for the outcome, which is recorded by then. A cancelled turn is a report, not a failure. */
  readonly answer: Effect.Effect<TurnReport, TurnFailure>
}

/** Sessions: conversations with agents. Each belongs to one app; to all others it does not exist. */
export class SessionPool extends Context.Tag("clawdforge/SessionPool")<
  SessionPool,
  {
    /** Opens a session, or leaves no trace of it. `InvalidRequest` for an agent or a model that is not offered. */
    readonly open: (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      Session,
      InvalidRequest | PoolFull | AgentRefusal | ShuttingDown | Unauthorized | StorageFailed
    >
    /**
     * Accepts a turn: from here on it has an id, a row and an outcome, whatever happens to the caller. The turns of a
     * session run one at a time, in the order in which they were accepted.
     */
    readonly turn: (
      session: SessionId,
      request: TurnRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      OpenTurn,
      | SessionNotFound
      | SessionClosed
      | SessionBusy
      | FileNotFound
      | ShuttingDown
      | Unauthorized
      | StorageFailed
    >
    readonly get: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<Session, SessionNotFound | StorageFailed>
    /** The app's own, newest first. */
    readonly list: (
      owner: TokenId,
      options: { readonly includeClosed: boolean },
    ) => Effect.Effect<ReadonlyArray<Session>, StorageFailed>
    /**
     * Closes a session; its turns, at work or waiting, end as cancelled first. Again, it changes nothing. Returns when
     * its agent has let go of it and its directory is gone.
     */
    readonly close: (
      session: SessionId,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyClosed: boolean }, SessionNotFound | StorageFailed>
    /** Closes all sessions of an app whose token was revoked, and ends its agents; does not wait for them. */
    readonly endOf: (owner: TokenId, origin: Origin) => Effect.Effect<void>
    /** Closes a session that is idle since then, and has no turn that is not finished; false when it is not. */
    readonly closeIdle: (session: Session, idleSince: number) => Effect.Effect<boolean, StorageFailed>
    /** Deletes a closed session for ever: the agent's own record of it, then ours; false when it was gone. */
    readonly erase: (session: SessionId) => Effect.Effect<boolean, AgentRefusal | StorageFailed>
    /** How many sessions are open, of all apps. */
    readonly openSessions: Effect.Effect<number, StorageFailed>
  }
>() {}
