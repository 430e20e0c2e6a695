import type { SqlClient } from "@effect/sql"
import { Effect, Schema } from "effect"
import { type EventFilter, EventType, type LogEvent } from "../../domain/Event.ts"
import { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { TokenName } from "../../domain/Token.ts"
import type { EventRecords } from "../../services/journal/Ledger.ts"
import { type EventWriter, rowsTo, storing } from "./Rows.ts"

const EventRow = Schema.Struct({
  seq: Schema.Number,
  type: EventType,
  at: Schema.Number,
  run_id: Schema.NullOr(RunId),
  session_id: Schema.NullOr(SessionId),
  token_id: Schema.NullOr(TokenId),
  token: Schema.NullOr(TokenName),
  data: Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
})

const toEvents = rowsTo(
  "events",
  EventRow,
  (row): LogEvent => ({
    seq: row.seq,
    type: row.type,
    at: row.at,
    runId: row.run_id,
    sessionId: row.session_id,
    tokenId: row.token_id,
    token: row.token,
    data: row.data,
  }),
)

export const eventRecords = (sql: SqlClient.SqlClient, events: EventWriter): EventRecords => {
  const found = sql.literal(`
    SELECT e.seq, e.type, e.at, e.run_id, e.session_id, e.token_id, t.name AS token, e.data
    FROM events e LEFT JOIN tokens t ON t.id = e.token_id`)
  // The more a condition leaves out, the earlier it is here. Only the first may choose the index (with a type, an app
  // has one): left to itself, SQLite might take the one with thousands of rows for a run that has four.
  const matches = ({ owner, type, runId, sessionId }: EventFilter) => {
    const subject = runId !== undefined || sessionId !== undefined
    const [ownerIs, typeIs] = subject ? [sql`+e.token_id`, sql`+e.type`] : [sql`e.token_id`, sql`e.type`]
    return sql.and([
      ...(runId === undefined ? [] : [sql`e.run_id = ${runId}`]),
      ...(sessionId === undefined ? [] : [sql`${sql.literal(runId ? "+" : "")}e.session_id = ${sessionId}`]),
      ...(owner === undefined ? [] : [sql`${ownerIs} = ${owner}`]),
      ...(type === undefined ? [] : [sql`${typeIs} = ${type}`]),
      sql`true`,
    ])
  }
  return {
    append: (event) => events.append(event).pipe(storing("recording an event")),

    appended: events.appended,

    newest: sql<{ seq: number | null }>`SELECT max(seq) AS seq FROM events`.pipe(
      Effect.map(([row]) => row?.seq ?? 0),
      storing("looking for the newest event"),
    ),

    trimmedTo: sql<{ seq: number }>`SELECT trimmed_to AS seq FROM retention WHERE name = 'events'`.pipe(
      Effect.map(([row]) => row?.seq ?? 0),
      storing("looking how far retention has come"),
    ),

    latest: (filter, limit) =>
      sql`${found} WHERE ${matches(filter)} ORDER BY e.seq DESC LIMIT ${limit}`.pipe(
        storing("reading events"),
        Effect.flatMap(toEvents),
      ),

    after: (seq, filter, limit) =>
      sql`${found} WHERE e.seq > ${seq} AND ${matches(filter)} ORDER BY e.seq LIMIT ${limit}`.pipe(
        storing("reading events"),
        Effect.flatMap(toEvents),
      ),

    summary: (owner) =>
      Effect.gen(function* () {
        const counted = yield* owner === undefined
          ? sql<Counted>`SELECT type, sum(count) AS count FROM event_counts GROUP BY type HAVING sum(count) > 0`
          : sql<Counted>`SELECT type, count FROM event_counts WHERE owner = ${owner} AND count > 0`
        const own = owner === undefined ? sql`true` : sql`token_id = ${owner}`
        const [oldest] = yield* sql<Place>`SELECT seq, at FROM events WHERE ${own} ORDER BY seq LIMIT 1`
        const [newest] = yield* sql<Place>`SELECT seq, at FROM events WHERE ${own} ORDER BY seq DESC LIMIT 1`
        const counts = new Map(counted.map(({ type, count }) => [type, count]))
        return { counts, oldest: oldest ?? null, newest: newest ?? null }
      }).pipe(sql.withTransaction, storing("counting events")),
  }
}

type Place = Pick<LogEvent, "seq" | "at">

interface Counted {
  readonly type: EventType
  readonly count: number
}
