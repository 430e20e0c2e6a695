import { Context, type Effect } from "effect"
import type { StorageFailed } from "../domain/Failure.ts"
import type { EventRecords } from "./ledger/Events.ts"
import type { FileRecords } from "./ledger/Files.ts"
import type { KeyRecords } from "./ledger/Keys.ts"
import type { RefusalRecords } from "./ledger/Refusals.ts"
import type { RetentionRecords } from "./ledger/Retention.ts"
import type { RunRecords } from "./ledger/Runs.ts"
import type { SessionRecords } from "./ledger/Sessions.ts"
import type { StreamRecords } from "./ledger/Streams.ts"
import type { TokenRecords } from "./ledger/Tokens.ts"

export type { EventRecords } from "./ledger/Events.ts"
export type { FileRecords } from "./ledger/Files.ts"
export type { KeptAnswer, KeyRecords, NewAnswer } from "./ledger/Keys.ts"
export type { RefusalRecords } from "./ledger/Refusals.ts"
export type {
  Dropped,
  DroppedRows,
  RetentionRecords,
  Sizes,
  StreamPass,
} from "./ledger/Retention.ts"
export type { RunFilter, RunRecords } from "./ledger/Runs.ts"
export type { SessionRecords } from "./ledger/Sessions.ts"
export type { NewMessage, StreamRecords } from "./ledger/Streams.ts"
export type { TokenRecords } from "./ledger/Tokens.ts"

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
    readonly retention: RetentionRecords
  }
>() {}
