import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import type { EventRecords } from "./ports/Events.ts"
import type { FileRecords } from "./ports/Files.ts"
import type { KeyRecords } from "./ports/IdempotencyKeys.ts"
import type { RefusalRecords } from "./ports/Refusals.ts"
import type { RetentionRecords } from "./ports/Retention.ts"
import type { RunEnd, RunRecords } from "./ports/Runs.ts"
import type { SessionMessageRecords } from "./ports/SessionMessages.ts"
import type { SessionRecords } from "./ports/Sessions.ts"
import type { StreamRecords } from "./ports/Streams.ts"
import type { TokenRecords } from "./ports/Tokens.ts"

export type { Change, EventRecords } from "./ports/Events.ts"
export type { FileRecords, NewUpload } from "./ports/Files.ts"
export type { KeyRecords, StoredAnswer } from "./ports/IdempotencyKeys.ts"
export type { RefusalRecords } from "./ports/Refusals.ts"
export {
  type Dropped,
  type DroppedRows,
  type RetentionRecords,
  ROWS_MIN_MILLIS,
  type Sizes,
  type StreamPass,
} from "./ports/Retention.ts"
export {
  type AcceptedRun,
  type AcceptRefusal,
  LOST,
  type RunEnd,
  type RunRecords,
  TEXT_MIN_MILLIS,
} from "./ports/Runs.ts"
export {
  type NewSessionMessage,
  SESSION_BYTES_MAX,
  SESSION_MESSAGES_MAX,
  type SessionMessageRecords,
} from "./ports/SessionMessages.ts"
export type { SessionRecords } from "./ports/Sessions.ts"
export type { NewMessage, StreamRecords } from "./ports/Streams.ts"
export type { TokenRecords } from "./ports/Tokens.ts"

/**
 * Port: what a database does for the ledger. Each function may fail with `StorageFailed`. `holdChanges` makes the ledger
 * of it.
 */
export interface LedgerRecords {
  /** Fails if nothing can be recorded. */
  readonly writable: Effect.Effect<void, StorageFailed>
  readonly tokens: TokenRecords
  readonly runs: RunRecords
  readonly sessions: SessionRecords
  readonly sessionMessages: SessionMessageRecords
  readonly files: FileRecords
  readonly refusals: RefusalRecords
  readonly streams: StreamRecords
  readonly events: EventRecords
  readonly keys: KeyRecords
  readonly retention: RetentionRecords
}

/** The rows of runs, of which the end never fails: see `holdChanges`. */
export interface HeldRunRecords extends RunRecords {
  readonly end: (run: RunId, end: RunEnd) => Effect.Effect<void>
}

/**
 * The durable record. A change of state, its events and its idempotency key are one transaction, which is on disk
 * when the effect returns; an end, a revocation or a close that cannot be written then takes effect all the same, and is
 * written later (see `holdChanges`). The audit trail is a view of the same rows. Times are milliseconds since 1970.
 */
export class Ledger extends Context.Tag("clawdforge/Ledger")<
  Ledger,
  Omit<LedgerRecords, "runs"> & { readonly runs: HeldRunRecords }
>() {}
