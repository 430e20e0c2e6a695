import type { Effect, Option, Redacted } from "effect"
import type { StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { StoredFile } from "../../../domain/File.ts"
import type { FileId, TokenId } from "../../../domain/Ids.ts"
import type { Origin } from "../../../domain/Origin.ts"

/** The rows of uploaded files. */
export interface FileRecords {
  /**
   * Records an upload with its event, and the idempotency key of its origin. Fails unless the token of the file's app is
   * in force at that moment.
   */
  readonly insert: (upload: NewUpload) => Effect.Effect<void, Unauthorized | StorageFailed>
  /** Returns the file whose token has that hash, whoever owns it, also after it has expired. */
  readonly findByHash: (hash: string) => Effect.Effect<Option.Option<StoredFile>, StorageFailed>
  /** Returns those of the files that are not removed. */
  readonly existing: (files: ReadonlyArray<FileId>) => Effect.Effect<ReadonlyArray<FileId>, StorageFailed>
  /** Returns all files that are not removed. */
  readonly list: Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
  /** Returns when the app's next file expires. */
  readonly soonestExpiry: (owner: TokenId) => Effect.Effect<Option.Option<number>, StorageFailed>
  /** Returns some hundreds of the files that have expired at `at`, the first to expire first. */
  readonly due: (at: number) => Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
  /** Removes the rows of these files, with an event each. Returns those that were still there. */
  readonly remove: (
    files: ReadonlyArray<StoredFile>,
    at: number,
  ) => Effect.Effect<ReadonlyArray<StoredFile>, StorageFailed>
}

/** An upload to record. */
export interface NewUpload {
  readonly file: StoredFile
  /** The `ff_…` token. It is stored under the idempotency key only, for the app that sends the request again. */
  readonly token: Redacted.Redacted
  /** The SHA-256 of the token, by which the file is found. */
  readonly hash: string
  readonly ttlSecs: number
  readonly origin: Origin
}
