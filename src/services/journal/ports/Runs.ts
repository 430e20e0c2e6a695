import type { Effect, Option } from "effect"
import type { SessionClosed, SessionNotFound, StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { RunId, SessionId } from "../../../domain/Ids.ts"
import type { RunEnded, RunFilter, RunInput, RunRecord, RunSpec, TurnSpec } from "../../../domain/Run.ts"
import type { SessionRecord } from "../../../domain/Session.ts"
import type { StreamEnd } from "../../../domain/Stream.ts"
import type { NewMessage } from "./Streams.ts"

/** The rows of runs. Each change, its events and its idempotency key are one transaction. */
export interface RunRecords {
  /**
   * Records a run as `queued`, or as `running` from `startedAt` on, with its events, the beginning of its stream, and
   * the idempotency key of its origin. For a turn it counts the session's turns. Fails unless the owner's token is in
   * force, and for a turn unless the session is open and the owner's.
   */
  readonly accept: <Spec extends RunSpec>(
    run: Spec,
    options: {
      readonly at: number
      readonly startedAt: number | undefined
      /** Whether the run's input is stored, for work that must survive a restart. */
      readonly keepInput?: boolean
    },
  ) => Effect.Effect<AcceptedRun, AcceptRefusal<Spec>>
  /**
   * queued → running. A run that is not queued stays as it is. The clock may have been set back: no run starts before it
   * was accepted.
   */
  readonly start: (run: RunId, at: number) => Effect.Effect<void, StorageFailed>
  /**
   * queued or running → a final state, with its event, the messages that are not stored yet, and the end of its stream.
   * A run that has ended stays as it is. The clock may have been set back: no run ends before it started. For a turn, the
   * session's `lastTurnAt` moves, and `answered` is set unless the turn was cancelled or failed. The idempotency key is
   * removed if the run never began: the same request may then be sent again.
   */
  readonly end: (run: RunId, end: RunEnd) => Effect.Effect<void, StorageFailed>
  /** Records every run that a server left queued or running when it died as `lost`. Returns how many. */
  readonly loseUnfinished: (at: number) => Effect.Effect<number, StorageFailed>
  /** Returns a run, whoever owns it. */
  readonly find: (run: RunId) => Effect.Effect<Option.Option<RunRecord>, StorageFailed>
  /** Returns the run that is the session's turn of that index, whoever owns it. */
  readonly findTurn: (
    session: SessionId,
    index: number,
  ) => Effect.Effect<Option.Option<RunRecord>, StorageFailed>
  /** Returns at most `limit` runs that match, newest first. The next page is before the last run of this one. */
  readonly page: (
    filter: RunFilter,
    limit: number,
    before?: RunId,
  ) => Effect.Effect<ReadonlyArray<RunRecord>, StorageFailed>
  /** Returns a run's input, if it was accepted with `keepInput` and its text is not removed yet. */
  readonly input: (run: RunId) => Effect.Effect<Option.Option<RunInput>, StorageFailed>
}

/** How long the text of an ended run is kept at least, in milliseconds: a waiting client may still read it. */
export const TEXT_MIN_MILLIS = 1000

/** The end of a run that a server left unfinished when it died. */
export const LOST: RunEnded = {
  status: "lost",
  code: "run_failed",
  stopReason: null,
  durationMs: null,
  responseChars: null,
  usage: null,
  costUsd: null,
}

/** Why the ledger does not accept a run. */
export type AcceptRefusal<Spec> =
  | (Spec extends TurnSpec ? SessionNotFound | SessionClosed : never)
  | Unauthorized
  | StorageFailed

/** What the ledger adds to a run when it accepts it. */
export interface AcceptedRun {
  /** The turn's index in its session, counted from 1, and its session as it was then; `null` for a one-shot. */
  readonly turn: { readonly index: number; readonly session: SessionRecord } | null
}

/** What the transaction that ends a run writes. Times are milliseconds since 1970. */
export interface RunEnd {
  readonly at: number
  readonly ended: RunEnded
  /** The last event of its stream. */
  readonly last: StreamEnd
  /** Its messages that are not stored yet, in order. */
  readonly unstored: ReadonlyArray<NewMessage>
  /** Whether its work began: it may have cost or changed something. A run that waited in the queue until its end never began. */
  readonly began: boolean
}
