import { chmodSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Layer, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"

/** Another process owns the data directory. */
export class DataDirTaken extends Schema.TaggedError<DataDirTaken>()("DataDirTaken", {
  dir: Schema.String,
}) {}

/**
 * One owner of a data directory at a time: two would each take the other's runs for lost.
 *
 * The lock is an exclusive transaction on a side file that is never committed. The kernel drops it when the process
 * dies, however it dies, which no file with a process id in it can promise.
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
