import type { Effect, Option } from "effect"
import type { SessionClosed, SessionNotFound, StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../../domain/Ids.ts"
import type { RunEnded, RunOpened, RunRecord, RunStatus } from "../../../domain/Run.ts"
import type { StreamEnd } from "../../../domain/Stream.ts"

export interface RunRecords {
  /** A run enters as `queued`, if its token is in force at that moment. */
  readonly open: (run: RunOpened) => Effect.Effect<void, Unauthorized | StorageFailed>
  /**
   * A turn of an open session of that app enters as a run that is `queued`. Returns its index, one more than that of
   * the turn before; its model is the session's.
   */
  readonly openTurn: (
    run: Omit<RunOpened, "model">,
    session: SessionId,
  ) => Effect.Effect<number, SessionNotFound | SessionClosed | Unauthorized | StorageFailed>
  /** queued → running. */
  readonly start: (run: RunId, at: number) => Effect.Effect<void, StorageFailed>
  /**
   * queued or running → an end state, which is the last of its stream. A run that has ended stays as it is. Of a turn,
   * its session learns when it was and, from any stop reason but `cancelled`, that the agent answered. An idempotency
   * key is kept only if the run had started.
   */
  readonly end: (run: RunId, end: RunEnded, at: number, last: StreamEnd) => Effect.Effect<void, StorageFailed>
  /** Every run that is still queued or running, and so was left by a server that died, becomes `lost`. */
  readonly loseUnfinished: (at: number) => Effect.Effect<number, StorageFailed>
  /** Whoever it belongs to. */
  readonly find: (run: RunId) => Effect.Effect<Option.Option<RunRecord>, StorageFailed>
  readonly findTurn: (
    session: SessionId,
    index: number,
  ) => Effect.Effect<Option.Option<RunRecord>, StorageFailed>
  /** Some of those that match, the newest first; to go on, name the last one of those before. */
  readonly page: (
    filter: RunFilter,
    limit: number,
    before?: RunId,
  ) => Effect.Effect<ReadonlyArray<RunRecord>, StorageFailed>
}

/** Which runs somebody wants, and may see. */
export interface RunFilter {
  /** One app's only; undefined: all there are. */
  readonly owner?: TokenId | undefined
  readonly status?: RunStatus | undefined
  readonly sessionId?: SessionId | undefined
}
