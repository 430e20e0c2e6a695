import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { Migrator, SqlClient } from "@effect/sql"
import { Cause, Effect, Layer } from "effect"
import { StorageFailed } from "../../domain/Failure.ts"
import { SqliteClient } from "./Driver.ts"
import ledger from "./migrations/0001_ledger.ts"
import files from "./migrations/0002_files.ts"
import refusals from "./migrations/0003_refusals.ts"
import sessions from "./migrations/0004_sessions.ts"
import streams from "./migrations/0005_streams.ts"

/** Numbered; a migration that has landed is never edited. */
const migrate = Migrator.make({})({
  loader: Migrator.fromRecord({
    "0001_ledger": ledger,
    "0002_files": files,
    "0003_refusals": refusals,
    "0004_sessions": sessions,
    "0005_streams": streams,
  }),
})

/** How long a statement waits for somebody else's. */
export const BUSY_MILLIS = 5000

/** What a burst of writes leaves of the -wal file. */
const JOURNAL_MAX = 16 * 1024 * 1024

/**
 * Has the file give space back in small steps, when it is asked to. It is written anew for that, once: in no time when
 * it is new. Where there is no room for that, it stays as it is.
 */
const shrinkable = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const [row] = yield* sql<{ auto_vacuum: number }>`PRAGMA auto_vacuum`
    if (row?.auto_vacuum === INCREMENTAL) return
    yield* sql`PRAGMA auto_vacuum = ${sql.literal(String(INCREMENTAL))}`
    yield* sql`VACUUM`
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("the database's file cannot be made to give space back", error.message),
    ),
  )

const INCREMENTAL = 2

const failed = (cause: unknown) => new StorageFailed({ during: "opening the database", cause })

/**
 * The service's SQLite file, made if it is missing, brought to the newest schema, readable by its owner only
 * (its -wal and -shm files take their mode from it).
 *
 * WAL with `synchronous = FULL`: what a transaction wrote is on disk when it returns, also if the power fails.
 */
export const layer = (file: string): Layer.Layer<SqlClient.SqlClient, StorageFailed> => {
  const privateFile = Layer.effectDiscard(
    Effect.try({
      try: () => {
        mkdirSync(dirname(resolve(file)), { recursive: true, mode: 0o700 })
        closeSync(openSync(file, "a", 0o600))
        chmodSync(file, 0o600)
      },
      catch: failed,
    }),
  )
  const prepared = Layer.effectDiscard(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`PRAGMA synchronous = FULL`
      yield* sql`PRAGMA foreign_keys = ON`
      yield* sql`PRAGMA busy_timeout = ${sql.literal(String(BUSY_MILLIS))}`
      // What was deleted is overwritten: a text that is kept no more is not in the file either.
      yield* sql`PRAGMA secure_delete = ON`
      yield* sql`PRAGMA journal_size_limit = ${sql.literal(String(JOURNAL_MAX))}`
      yield* shrinkable(sql)
      yield* migrate
    }),
  )
  return prepared.pipe(
    Layer.provideMerge(SqliteClient.layer({ filename: file })),
    Layer.provide(privateFile),
    Layer.catchAllCause((cause) => {
      const error = Cause.squash(cause)
      return Layer.fail(error instanceof StorageFailed ? error : failed(error))
    }),
  )
}
