import { Context, type Effect, type Option } from "effect"
import type {
  PoolFull,
  SessionClosed,
  SessionNotFound,
  StorageFailed,
  TokenNameTaken,
  Unauthorized,
} from "../domain/Failure.ts"
import type { StoredFile } from "../domain/File.ts"
import type { RunId, SessionId, TokenId } from "../domain/Ids.ts"
import type { Refusal } from "../domain/Refusal.ts"
import type { EventFilter, LogEvent } from "../domain/Event.ts"
import type { Claim, RunEnded, RunOpened, RunRecord, RunStatus } from "../domain/Run.ts"
import type { AgentSessionRef, SessionOpening, SessionRecord } from "../domain/Session.ts"
import type { StreamEnd, StreamEvent, StreamGap } from "../domain/Stream.ts"
import type { AppToken, Origin, TokenName } from "../domain/Token.ts"

/**
 * Port: the durable record. Each change and its event are one transaction, on disk before the effect returns;
 * the audit trail is a view of the same rows. Times are milliseconds since 1970.
 */
export class Ledger extends Context.Tag("clawdforge/Ledger")<
  Ledger,
  {
    /** Fails when nothing can be recorded. */
    readonly writable: Effect.Effect<void, StorageFailed>
    readonly tokens: TokenRecords
    readonly runs: RunRecords
    readonly sessions: SessionRecords
    readonly files: FileRecords
    readonly refusals: RefusalRecords
    readonly streams: StreamRecords
    readonly events: EventRecords
    readonly keys: KeyRecords
  }
>() {}

export interface TokenRecords {
  /** Fails when a token of that name is in force. */
  readonly insert: (
    token: AppToken,
    hash: string,
    origin: Origin,
  ) => Effect.Effect<void, TokenNameTaken | StorageFailed>
  /** The token in force with that hash. */
  readonly findByHash: (hash: string) => Effect.Effect<Option.Option<AppToken>, StorageFailed>
  /** All that ever were, oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<AppToken>, StorageFailed>
  /** Who was revoked now; else whether the name ever was in force. */
  readonly revoke: (
    name: TokenName,
    at: number,
    origin: Origin,
  ) => Effect.Effect<TokenId | "unknown" | "already_revoked", StorageFailed>
  readonly touch: (lastUsed: ReadonlyMap<TokenId, number>) => Effect.Effect<void, StorageFailed>
}

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

/** The log of all that happened. */
export interface EventRecords {
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
}

/** Requests that their apps may send again. */
export interface KeyRecords {
  /** What an app asked with that key on that route, and what it was answered, unless that is too long ago by then. */
  readonly find: (
    owner: TokenId,
    claim: Pick<Claim, "route" | "key">,
    at: number,
  ) => Effect.Effect<Option.Option<KeptAnswer>, StorageFailed>
}

export interface KeptAnswer {
  readonly fingerprint: string
  /** JSON; of a run, `{"run_id": …}`. */
  readonly answer: string
}

/** What an app is told when it asks the same again: kept with the change that it tells of, or not at all. */
export interface NewAnswer {
  readonly claim: Claim
  /** To be written as JSON. */
  readonly answer: unknown
}

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

export interface FileRecords {
  /** Fails unless the file's app is in force at that moment. */
  readonly insert: (
    file: StoredFile,
    hash: string,
    origin: Origin,
    kept?: NewAnswer,
  ) => Effect.Effect<void, Unauthorized | StorageFailed>
  /** Whoever it belongs to, and also when its time is over. */
  readonly findByHash: (hash: string) => Effect.Effect<Option.Option<StoredFile>, StorageFailed>
  /** All that have not been removed. */
  readonly list: Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
  /** When the app's next file expires. */
  readonly soonestExpiry: (owner: TokenId) => Effect.Effect<Option.Option<number>, StorageFailed>
  /** Those whose time is over: some hundreds of them, the first to be over first. */
  readonly due: (at: number) => Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
  /** Removes the records of these, and returns those that were there to be removed. */
  readonly remove: (
    files: ReadonlyArray<StoredFile>,
    at: number,
  ) => Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
}

export interface RefusalRecords {
  /** An event for each, in this order: all of them, or none. */
  readonly append: (refusals: ReadonlyArray<Refusal>) => Effect.Effect<void, StorageFailed>
}
