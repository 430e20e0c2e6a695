import type { SqlClient } from "@effect/sql"
import { Effect, Schema } from "effect"
import { type EventFilter, EventType, type LogEvent } from "../../domain/Event.ts"
import { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { TokenName } from "../../domain/Token.ts"
import type { EventRecords } from "../../services/Ledger.ts"
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
  const matches = ({ owner, type, runId, sessionId }: EventFilter) =>
    sql.and([
      ...(owner === undefined ? [] : [sql`e.token_id = ${owner}`]),
      ...(type === undefined ? [] : [sql`e.type = ${type}`]),
      ...(runId === undefined ? [] : [sql`e.run_id = ${runId}`]),
      ...(sessionId === undefined ? [] : [sql`e.session_id = ${sessionId}`]),
      sql`true`,
    ])
  return {
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
  }
}
