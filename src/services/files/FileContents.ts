import { Context, type Effect, type Scope } from "effect"
import type { FileNotFound, StorageFailed } from "../../domain/Failure.ts"
import type { FileId } from "../../domain/Ids.ts"

/** A file that is being written. It is removed when its scope closes, unless `keep` was called. */
export interface FileWriter {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, StorageFailed>
  /** Returns when everything that was written is on the disk. */
  readonly sync: Effect.Effect<void, StorageFailed>
  /** Keeps the file when the scope closes. */
  readonly keep: Effect.Effect<void>
}

/** Port: the contents of uploads, each stored by its id. Only the service's user can read them. */
export class FileContents extends Context.Tag("clawdforge/FileContents")<
  FileContents,
  {
    /** Creates the file for an upload. */
    readonly create: (id: FileId) => Effect.Effect<FileWriter, StorageFailed, Scope.Scope>
    /** Copies a file into a directory, under that name. Returns the copy's path. Changing the copy is harmless. */
    readonly copy: (
      id: FileId,
      dir: string,
      name: string,
    ) => Effect.Effect<string, FileNotFound | StorageFailed>
    /** Removes a file. Does nothing when it does not exist. */
    readonly remove: (id: FileId) => Effect.Effect<void, StorageFailed>
    /** Returns the id of every file, also of those that are not completely written. */
    readonly list: Effect.Effect<ReadonlyArray<FileId>, StorageFailed>
  }
>() {}
