import { constants, copyFileSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from "node:fs"
import { dirname, resolve } from "node:path"
import Sqlite from "better-sqlite3"
import { Clock, Effect, Option } from "effect"
import { BackupFailed, copyDatabase, sync, tryBackup } from "./Backup.ts"
import { SCHEMA_VERSION } from "./Database.ts"

export interface Restored {
  /** The file to which the replaced database was moved. None if there was no database. */
  readonly replaced: Option.Option<string>
  /** The apps whose tokens the backup has in force, and that were revoked since. They stay revoked. */
  readonly stillRevoked: ReadonlyArray<string>
  /** Whether the replaced database could be read. If not, a token that was revoked since the backup is in force again. */
  readonly isReplacedReadable: boolean
}

/**
 * Replaces the database by a backup. The caller holds the lock on the data directory.
 *
 * Fails before it changes anything if the backup is damaged, is not of clawdforge, is of a newer version, or if another
 * program uses the database. The replaced database stays beside the new one. At each moment, the database is the old one
 * or the new one.
 *
 * Two things of the replaced database are carried over: revocations of tokens, and the sequence of events, so that no
 * client sees a number twice.
 */
export const restore = (file: string, database: string): Effect.Effect<Restored, BackupFailed> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    tryBackup("the restore", () => {
      check(file)
      mkdirSync(dirname(resolve(database)), { recursive: true, mode: 0o700 })
      const restoring = `${database}.restoring`
      rmSync(restoring, { force: true })
      copyDatabase(file, restoring)
      try {
        const isThere = existsSync(database)
        const before = isThere ? contentOf(database) : NOTHING
        const stillRevoked = carryOver(before ?? NOTHING, restoring)
        const replaced = isThere ? setAside(database, now) : undefined
        renameSync(restoring, database)
        sync(dirname(resolve(database)))
        return {
          replaced: Option.fromNullable(replaced),
          stillRevoked,
          isReplacedReadable: before !== undefined,
        }
      } catch (error) {
        rmSync(restoring, { force: true })
        throw error
      }
    }),
  )

/** Throws `BackupFailed` if the file is no whole database of clawdforge that this version can read. */
const check = (file: string): void => {
  const fail = (reason: string) => new BackupFailed({ reason: `${file} ${reason}` })
  if (!existsSync(file)) throw fail("does not exist")
  let version: number
  try {
    const backup = new Sqlite(file, { readonly: true, fileMustExist: true })
    try {
      if (backup.pragma("integrity_check", { simple: true }) !== "ok") throw fail("is damaged")
      version = (backup.prepare("SELECT max(migration_id) FROM effect_sql_migrations").pluck().get() ??
        0) as number
    } finally {
      backup.close()
    }
  } catch (error) {
    throw error instanceof BackupFailed
      ? error
      : fail(`is not a backup of clawdforge: ${(error as Error).message}`)
  }
  if (version > SCHEMA_VERSION)
    throw fail(
      `was made by a newer clawdforge: its schema has version ${version}, and this one knows ${SCHEMA_VERSION}`,
    )
}

interface Content {
  readonly lastEvent: number
  readonly revoked: ReadonlyArray<{ readonly id: string; readonly revoked_at: number }>
}
const NOTHING: Content = { lastEvent: 0, revoked: [] }

/**
 * Reads what is carried over. Undefined if the database is damaged. Throws `BackupFailed` if another program uses it.
 * Afterwards there is no `-wal` file, unless the database is damaged.
 */
const contentOf = (database: string): Content | undefined => {
  try {
    const old = new Sqlite(database, { timeout: 0 })
    try {
      // This writes the -wal file into the database, removes it, and needs the database for itself.
      old.pragma("journal_mode = DELETE")
      const lastEvent = old
        .prepare("SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'")
        .pluck()
        .get()
      const revoked = old.prepare("SELECT id, revoked_at FROM tokens WHERE revoked_at IS NOT NULL").all()
      return { lastEvent: Number(lastEvent ?? 0), revoked: revoked as Content["revoked"] }
    } finally {
      old.close()
    }
  } catch (error) {
    if ((error as { readonly code?: string }).code?.startsWith("SQLITE_BUSY") === true)
      throw new BackupFailed({ reason: `${database} is in use by another program: stop it first` })
    return undefined
  }
}

/** Writes what is carried over, and returns the names of the tokens that it revoked. */
const carryOver = ({ lastEvent, revoked }: Content, file: string): ReadonlyArray<string> => {
  const database = new Sqlite(file)
  try {
    return database.transaction(() => {
      database.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'").run(lastEvent)
      const revoke = database
        .prepare("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING name")
        .pluck()
      return revoked.flatMap(({ id, revoked_at }) => revoke.all(revoked_at, id) as ReadonlyArray<string>)
    })()
  } finally {
    database.close()
  }
}

/** Gives the database a second name, which it keeps when another file gets its first one. Returns that name. */
const setAside = (database: string, now: number): string => {
  const aside = `${database}.replaced-${new Date(now).toISOString().replace(/[:.]/g, "")}`
  try {
    linkSync(database, aside)
  } catch {
    // Not every file system has links.
    copyFileSync(database, aside, constants.COPYFILE_EXCL)
  }
  // A damaged database may still have one. SQLite would take it for the new database's.
  if (existsSync(`${database}-wal`)) renameSync(`${database}-wal`, `${aside}-wal`)
  rmSync(`${database}-shm`, { force: true })
  return aside
}
