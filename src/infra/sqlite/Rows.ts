import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Option, Queue, Schema } from "effect"
import type { EventType } from "../../domain/Event.ts"
import { StorageFailed } from "../../domain/Failure.ts"
import { TokenId } from "../../domain/Ids.ts"
import { type AppToken, type Origin, TokenName } from "../../domain/Token.ts"

/** What every table's statements share: failures, events, and the shapes of rows. */

/** What the database refuses, as a failure: also what the framework makes a defect of, a COMMIT on a full disk. */
export const storing =
  (during: string) =>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
  ): Effect.Effect<A, Exclude<E, SqlError.SqlError> | StorageFailed, R> =>
    effect.pipe(
      Effect.mapError((error) =>
        isSqlError(error)
          ? new StorageFailed({ during, cause: error })
          : (error as Exclude<E, SqlError.SqlError>),
      ),
      Effect.catchSomeDefect((defect) =>
        isSqlError(defect)
          ? Option.some(Effect.fail(new StorageFailed({ during, cause: defect })))
          : Option.none(),
      ),
    )

const isSqlError = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "SqlError"

/** An event to append; to be called in the transaction of the change that it tells of. */
export interface NewEvent {
  readonly type: EventType
  readonly at: number
  readonly runId?: string
  readonly sessionId?: string | null
  readonly tokenId?: string
  readonly data?: Readonly<Record<string, unknown>>
}

/** The one way into the event log. */
export interface EventWriter {
  readonly append: (event: NewEvent) => Effect.Effect<void, SqlError.SqlError>
  /** To be called with whatever else is appended in the sequence. */
  readonly tell: Effect.Effect<void>
  /** For one who waits: returns when something may have been appended since it last did. */
  readonly appended: Effect.Effect<void>
}

export const makeEventWriter = (sql: SqlClient.SqlClient): Effect.Effect<EventWriter> =>
  Effect.map(Queue.sliding<void>(1), (news) => {
    // Told before the commit: who reads then waits for the connection, and so for the end of the transaction.
    const tell = Effect.asVoid(Queue.offer(news, undefined))
    return {
      append: (event) =>
        Effect.zipRight(
          sql`
            INSERT INTO events (type, at, run_id, session_id, token_id, data)
            VALUES (${event.type}, ${event.at}, ${event.runId ?? null}, ${event.sessionId ?? null},
              ${event.tokenId ?? null}, ${JSON.stringify(event.data ?? {})})`,
          tell,
        ),
      tell,
      appended: Queue.take(news),
    }
  })

/** Where a request came from, as an event's data has it. */
export const originData = ({ requestId, address }: Origin) => ({ request_id: requestId, address })

/** Whether the token is in force; tells why a statement that asked the same changed nothing. */
export const isInForce = (sql: SqlClient.SqlClient, token: TokenId) =>
  Effect.map(sql`SELECT 1 FROM tokens WHERE id = ${token} AND revoked_at IS NULL`, (rows) => rows.length > 0)

const TokenRow = Schema.Struct({
  id: TokenId,
  name: TokenName,
  ip_cidrs: Schema.parseJson(Schema.Array(Schema.String)),
  created_at: Schema.Number,
  last_used_at: Schema.NullOr(Schema.Number),
  revoked_at: Schema.NullOr(Schema.Number),
})

/** Decodes what a statement gave, each row into what the domain calls it. */
export const rowsTo = <A, I, B>(what: string, row: Schema.Schema<A, I>, make: (row: A) => B) => {
  const decode = Schema.decodeUnknown(Schema.Array(row))
  return (rows: unknown): Effect.Effect<ReadonlyArray<B>, StorageFailed> =>
    Effect.mapBoth(decode(rows), {
      onFailure: (cause) => new StorageFailed({ during: `reading ${what}`, cause }),
      onSuccess: (decoded) => decoded.map(make),
    })
}

export const toTokens = rowsTo(
  "tokens",
  TokenRow,
  (row): AppToken => ({
    id: row.id,
    name: row.name,
    ipCidrs: row.ip_cidrs,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
  }),
)
