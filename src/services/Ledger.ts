import { Context, type Effect, type Option } from "effect"
import type { StorageFailed, TokenNameTaken, Unauthorized } from "../domain/Failure.ts"
import type { StoredFile } from "../domain/File.ts"
import type { RunId, TokenId } from "../domain/Ids.ts"
import type { Refusal } from "../domain/Refusal.ts"
import type { RunEnded, RunOpened } from "../domain/Run.ts"
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
    readonly files: FileRecords
    readonly refusals: RefusalRecords
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
  /** queued → running. */
  readonly start: (run: RunId, at: number) => Effect.Effect<void, StorageFailed>
  /** queued or running → an end state. A run that has ended stays as it is. */
  readonly end: (run: RunId, end: RunEnded, at: number) => Effect.Effect<void, StorageFailed>
  /** Every run that is still queued or running, and so was left by a server that died, becomes `lost`. */
  readonly loseUnfinished: (at: number) => Effect.Effect<number, StorageFailed>
}

export interface FileRecords {
  /** Fails unless the file's app is in force at that moment. */
  readonly insert: (
    file: StoredFile,
    hash: string,
    origin: Origin,
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
