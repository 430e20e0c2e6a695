import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Schema } from "effect"

/** A backup was not made, or not restored. The reason is a sentence for the operator. */
export class BackupFailed extends Schema.TaggedError<BackupFailed>()("BackupFailed", {
  reason: Schema.String,
}) {
  override get message() {
    return this.reason
  }
}

/** How long a copy waits for another program's lock, in milliseconds. */
const BUSY_MILLIS = 5000

/** Runs `act`, and makes the failure of what it throws. */
export const tryBackup = <A>(during: string, act: () => A): Effect.Effect<A, BackupFailed> =>
  Effect.try({
    try: act,
    catch: (error) =>
      error instanceof BackupFailed
        ? error
        : new BackupFailed({ reason: `${during} failed: ${(error as Error).message}` }),
  })

/**
 * Writes the database in `source` to the new file `target`, readable by its owner only, and on the disk when this returns.
 * A service may write to the database meanwhile: the copy has what was committed before it began.
 *
 * If the target is there, it is not touched, and this throws `BackupFailed`. After any failure there is no target.
 */
export const copyDatabase = (source: string, target: string): void => {
  // Takes the name, so that of two copies at once only one can have it.
  claim(target)
  const unfinished = `${target}.unfinished`
  try {
    rmSync(unfinished, { force: true })
    claim(unfinished)
    const database = new Sqlite(source, { readonly: true, fileMustExist: true, timeout: BUSY_MILLIS })
    try {
      // An empty file is taken as the new one, and keeps its mode.
      database.prepare("VACUUM INTO ?").run(unfinished)
    } finally {
      database.close()
    }
    sync(unfinished)
    renameSync(unfinished, target)
    sync(dirname(resolve(target)))
  } catch (error) {
    rmSync(unfinished, { force: true })
    rmSync(target, { force: true })
    throw error
  }
}

const claim = (file: string) => {
  try {
    closeSync(openSync(file, "wx", 0o600))
    // Whatever the umask.
    chmodSync(file, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    throw new BackupFailed({ reason: `${file} exists, and is not overwritten` })
  }
}

/** Waits until a file, or the names in a directory, are on the disk. */
export const sync = (path: string): void => {
  const descriptor = openSync(path, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Backs up the database to a new file, also while a service uses it. Returns the size of the file in bytes. */
export const backup = (database: string, file: string): Effect.Effect<number, BackupFailed> =>
  tryBackup("the backup", () => {
    if (statSync(database, { throwIfNoEntry: false }) === undefined)
      throw new BackupFailed({ reason: `there is no database ${database}: see DATA_DIR and DB_PATH` })
    copyDatabase(database, file)
    return statSync(file).size
  })
