import type { SqlClient } from "@effect/sql"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"

/**
 * A transaction that is not waited for until it is on the disk: a killed service loses nothing of it, a power failure
 * may, up to the next transaction that is. For what agents say, often and a few bytes at a time; it costs a twentieth.
 */
export const quickTransaction = <A, E>(
  sql: SqlClient.SqlClient,
  use: (connection: Connection) => Effect.Effect<A, E>,
): Effect.Effect<A, E | SqlError> =>
  Effect.uninterruptible(
    Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* sql.reserve
        yield* unprepared(connection, "PRAGMA synchronous = NORMAL")
        return yield* Effect.zipRight(
          connection.execute("BEGIN IMMEDIATE", [], undefined),
          use(connection),
        ).pipe(
          Effect.tap(() => connection.execute("COMMIT", [], undefined)),
          // After a COMMIT that failed there may be nothing to roll back.
          Effect.onError(() => Effect.ignore(connection.execute("ROLLBACK", [], undefined))),
          Effect.ensuring(Effect.orDie(unprepared(connection, "PRAGMA synchronous = FULL"))),
        )
      }),
    ),
  )

/** Some pragmas do what they do when they are prepared, and nothing when they are run again. */
export const unprepared = (connection: Connection, statement: string) =>
  Effect.flatten(
    Effect.try({
      try: () => connection.executeUnprepared(statement, [], undefined),
      catch: (cause) => new SqlError({ cause, message: "Failed to prepare statement" }),
    }),
  )
