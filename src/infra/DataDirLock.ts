import { chmodSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Layer, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"

/** Another process holds the lock on the data directory. */
export class DataDirTaken extends Schema.TaggedError<DataDirTaken>()("DataDirTaken", {
  dir: Schema.String,
}) {}

/**
 * Locks the data directory for this process until the scope closes. Two services on one directory would each record the
 * other's runs as lost. Fails with `DataDirTaken` if another process has the lock.
 *
 * The lock is an exclusive transaction on the file `lock` that is never committed. The kernel releases it when the process
 * dies, in whatever way; a file with a process id cannot promise that.
 */
export const layer = (dir: string): Layer.Layer<never, DataDirTaken | StorageFailed> =>
  Layer.scopedDiscard(
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          mkdirSync(dir, { recursive: true, mode: 0o700 })
          const file = join(dir, "lock")
          const lock = new Sqlite(file, { timeout: 0 })
          chmodSync(file, 0o600)
          lock.exec("BEGIN EXCLUSIVE")
          return lock
        },
        catch: (error) =>
          (error as { readonly code?: string }).code === "SQLITE_BUSY"
            ? new DataDirTaken({ dir })
            : new StorageFailed({ during: "locking the data directory", cause: error }),
      }),
      (lock) => Effect.sync(() => lock.close()),
    ),
  )
