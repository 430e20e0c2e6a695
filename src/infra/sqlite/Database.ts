import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { Migrator, SqlClient } from "@effect/sql"
import { Cause, Duration, Effect, Layer } from "effect"
import { StorageFailed } from "../../domain/Failure.ts"
import { fromColumn, toColumn } from "./Columns.ts"
import { SqliteClient } from "./Driver.ts"
import ledger from "./migrations/0001_ledger.ts"
import files from "./migrations/0002_files.ts"
import refusals from "./migrations/0003_refusals.ts"
import sessions from "./migrations/0004_sessions.ts"
import streams from "./migrations/0005_streams.ts"
import runInputs from "./migrations/0006_run_inputs.ts"
import writeTrials from "./migrations/0007_write_trials.ts"
import sessionMessages from "./migrations/0008_session_messages.ts"
import emptyCounts from "./migrations/0009_empty_counts.ts"

/** The migrations, in order. A migration that has landed is never edited. */
const migrations = {
  "0001_ledger": ledger,
  "0002_files": files,
  "0003_refusals": refusals,
  "0004_sessions": sessions,
  "0005_streams": streams,
  "0006_run_inputs": runInputs,
  "0007_write_trials": writeTrials,
  "0008_session_messages": sessionMessages,
  "0009_empty_counts": emptyCounts,
}

const migrate = Migrator.make({})({ loader: Migrator.fromRecord(migrations) })

/** The number of the newest migration: the version of the schema. */
export const SCHEMA_VERSION = Math.max(...Object.keys(migrations).map(Number.parseFloat))

/** How long a statement waits for the lock of another program, in milliseconds. */
export const BUSY_MILLIS = 5000

/** The size to which the -wal file is cut after a burst of writes, in bytes. */
const WAL_MAX_BYTES = 16 * 1024 * 1024

/**
 * Makes the file able to give space back to the disk in small steps. This rewrites the file once, and costs nothing for
 * a new file. If the disk has no room for that, the file stays as it is, with a warning in the log.
 */
const enableIncrementalVacuum = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const [row] = yield* sql<{ autoVacuum: number }>`PRAGMA auto_vacuum`
    if (row?.autoVacuum === INCREMENTAL) return
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
 * The service's SQLite file: created if it is missing, migrated to the newest schema, readable by its owner only
 * (SQLite gives the -wal and -shm files the same mode). Fails with `StorageFailed` if it cannot be opened or migrated.
 *
 * WAL with `synchronous = FULL`: a transaction is on disk when it returns, also if the power fails.
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
      // Overwrites deleted texts in the file.
      yield* sql`PRAGMA secure_delete = ON`
      yield* sql`PRAGMA journal_size_limit = ${sql.literal(String(WAL_MAX_BYTES))}`
      yield* enableIncrementalVacuum(sql)
      yield* migrate
    }),
  )
  return prepared.pipe(
    Layer.provideMerge(
      SqliteClient.layer({
        filename: file,
        transformResultNames: fromColumn,
        transformQueryNames: toColumn,
        // Every statement is prepared once: there are some two hundred.
        prepareCacheSize: 1000,
        prepareCacheTTL: Duration.infinity,
      }),
    ),
    Layer.provide(privateFile),
    Layer.catchAllCause((cause) => {
      const error = Cause.squash(cause)
      return Layer.fail(error instanceof StorageFailed ? error : failed(error))
    }),
  )
}
