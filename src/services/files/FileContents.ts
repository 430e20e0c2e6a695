import { Context, type Effect, type Scope } from "effect"
import type { FileNotFound, StorageFailed } from "../../domain/Failure.ts"
import type { FileId } from "../../domain/Ids.ts"

/** A file that is being written. */
export interface FileWriter {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, StorageFailed>
  /** All that was written is on disk when this returns. */
  readonly sync: Effect.Effect<void, StorageFailed>
  /** Makes it last; otherwise it is gone with its scope. */
  readonly keep: Effect.Effect<void>
}

/** Port: the bytes of uploads, each under its id, readable by the service only. */
export class FileContents extends Context.Tag("clawdforge/FileContents")<
  FileContents,
  {
    readonly create: (id: FileId) => Effect.Effect<FileWriter, StorageFailed, Scope.Scope>
    /** Copies into a directory under that name: its reader may do with the copy as it likes. Returns its path. */
    readonly copy: (
      id: FileId,
      dir: string,
      name: string,
    ) => Effect.Effect<string, FileNotFound | StorageFailed>
    /** Removing what is not there is no failure. */
    readonly remove: (id: FileId) => Effect.Effect<void, StorageFailed>
    /** Every id that there are bytes of, whole or half-written. */
    readonly list: Effect.Effect<ReadonlyArray<FileId>, StorageFailed>
  }
>() {}
