import type { Effect, Option } from "effect"
import type { StorageFailed, Unauthorized } from "../../../domain/Failure.ts"
import type { StoredFile } from "../../../domain/File.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { Origin } from "../../../domain/Token.ts"
import type { NewAnswer } from "./Keys.ts"

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
