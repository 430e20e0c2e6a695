import { SqlClient, SqlError } from "@effect/sql"
import { Context, Effect, Option, ParseResult, PubSub } from "effect"
import { StorageFailed } from "../../domain/Failure.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import type { Change } from "../../services/journal/Ledger.ts"
import { executeUnprepared } from "./Pragmas.ts"

/** The database for the ledger's records: statements, transactions, and the publication of what a transaction added. */
export interface LedgerDatabase {
  readonly sql: SqlClient.SqlClient
  /**
   * Runs statements as one transaction, which is on disk when the effect returns. Fails with `StorageFailed` when a
   * statement or the `COMMIT` fails, or a row does not fit its schema; then nothing is changed. Transactions do not
   * nest. `during` names the caller's work for the log, such as "minting a token".
   */
  readonly transaction: (
    during: string,
  ) => <A, E, R>(
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, Exclude<E, SqlFailure> | StorageFailed, R>
  /**
   * Like `transaction`, but does not wait for the disk. A killed service loses nothing. A power failure loses what was
   * committed since the last `transaction`. It costs a twentieth, and is for messages, which are many and small.
   */
  readonly quickTransaction: LedgerDatabase["transaction"]
  /** Notes, within a transaction, that it adds to a run's stream, or (without a run) to the log. */
  readonly noteChange: (run?: RunId) => void
  /** Notes, within a transaction, that it adds to a session's stream. */
  readonly noteSession: (session: SessionId) => void
  /** Publishes the change of each transaction after its COMMIT. */
  readonly changes: Effect.Effect.Success<ReturnType<typeof PubSub.unbounded<Change>>>
}

type SqlFailure = SqlError.SqlError | ParseResult.ParseError

const isSqlFailure = (error: unknown): error is SqlFailure =>
  error instanceof SqlError.SqlError || ParseResult.isParseError(error)

/** Turns failures of statements, and rows that do not fit their schema, into `StorageFailed`. */
export const asStorageFailure =
  (during: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, SqlFailure> | StorageFailed, R> =>
    Effect.mapError(effect, (error) =>
      isSqlFailure(error) ? new StorageFailed({ during, cause: error }) : (error as Exclude<E, SqlFailure>),
    )

/** Makes the ledger's access to the database. */
export const makeLedgerDatabase: Effect.Effect<LedgerDatabase, never, SqlClient.SqlClient> = Effect.gen(
  function* () {
    const sql = yield* SqlClient.SqlClient
    const changes = yield* PubSub.unbounded<Change>()
    // The notes of the current transaction. There is only one at a time, as it reserves the only connection.
    let hasEvents = false
    let runs = new Set<RunId>()
    let sessions = new Set<SessionId>()

    const publish = Effect.suspend(() =>
      hasEvents || runs.size > 0 || sessions.size > 0
        ? PubSub.publish(changes, { events: hasEvents, runs: [...runs], sessions: [...sessions] })
        : Effect.void,
    )

    /**
     * Replaces the library's `withTransaction`, which prepares BEGIN and COMMIT each time, and leaves the transaction
     * open when COMMIT fails.
     */
    const transaction =
      (during: string, quick = false) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* sql.reserve
              hasEvents = false
              runs = new Set()
              sessions = new Set()
              if (quick) yield* executeUnprepared(connection, "PRAGMA synchronous = NORMAL")
              const work = restore(effect).pipe(
                Effect.mapInputContext((context: Context.Context<R>) =>
                  Context.add(context, SqlClient.TransactionConnection, [connection, 0] as const),
                ),
              )
              const done = connection.execute("BEGIN IMMEDIATE", [], undefined).pipe(
                Effect.zipRight(work),
                Effect.tap(() => connection.execute("COMMIT", [], undefined)),
                // After a COMMIT that failed there may be nothing to roll back.
                Effect.onError(() => Effect.ignore(connection.execute("ROLLBACK", [], undefined))),
                Effect.tap(() => publish),
              )
              return yield* quick
                ? Effect.ensuring(
                    done,
                    Effect.orDie(executeUnprepared(connection, "PRAGMA synchronous = FULL")),
                  )
                : done
            }),
          ),
        ).pipe(asStorageFailure(during))

    return {
      sql,
      transaction: (during) => transaction(during),
      quickTransaction: (during) => transaction(during, true),
      noteChange: (run) => {
        if (run === undefined) hasEvents = true
        else runs.add(run)
      },
      noteSession: (session) => void sessions.add(session),
      changes,
    }
  },
)

/** Returns the connection of the current transaction. Dies outside of a transaction. */
export const transactionConnection = Effect.serviceOption(SqlClient.TransactionConnection).pipe(
  Effect.map(Option.getOrThrow),
  Effect.map(([connection]) => connection),
)
