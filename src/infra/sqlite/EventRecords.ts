import { SqlSchema } from "@effect/sql"
import { Effect, Option, PubSub, Schema } from "effect"
import { Event, type EventFilter, EventType } from "../../domain/Event.ts"
import { ownerSeenBy } from "../../domain/Viewer.ts"
import type { EventRecords } from "../../services/journal/Ledger.ts"
import type { EventWriter } from "./EventWriter.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

/** The row of an event. The shape of `data` depends on `type`, which `Event` checks. */
const EventRow = Schema.Struct({
  seq: Schema.Number,
  type: EventType,
  at: Schema.Number,
  runId: Schema.NullOr(Schema.String),
  sessionId: Schema.NullOr(Schema.String),
  tokenId: Schema.NullOr(Schema.String),
  token: Schema.NullOr(Schema.String),
  data: Schema.parseJson(),
})

/** Selects events `e` as rows that `decodeEvents` decodes. */
export const SELECT_EVENTS = `
  SELECT e.seq, e.type, e.at, e.run_id, e.session_id, e.token_id, t.name AS token, e.data
  FROM events e LEFT JOIN tokens t ON t.id = e.token_id`

export const decodeEvents = Schema.decodeUnknown(
  Schema.Array(Schema.compose(EventRow, Event, { strict: false })),
)

const Position = Schema.Struct({ seq: Schema.Number, at: Schema.Number })

/** Makes the records of the event log. */
export const eventRecords = (
  { sql, transaction, changes }: LedgerDatabase,
  events: EventWriter,
): EventRecords => {
  const found = sql.literal(SELECT_EVENTS)
  // The conditions that match the fewest rows come first, and only the first may use an index (token and type together
  // have one). The unary plus keeps the others from it. By itself, SQLite might choose an index that reads thousands of
  // rows for a run that has four.
  const matches = ({ viewer, type, runId, sessionId }: EventFilter) => {
    const owner = ownerSeenBy(viewer)
    const isNarrow = runId !== undefined || sessionId !== undefined
    const [ownerIs, typeIs] = isNarrow ? [sql`+e.token_id`, sql`+e.type`] : [sql`e.token_id`, sql`e.type`]
    return sql.and([
      ...(runId === undefined ? [] : [sql`e.run_id = ${runId}`]),
      ...(sessionId === undefined ? [] : [sql`${sql.literal(runId ? "+" : "")}e.session_id = ${sessionId}`]),
      ...(owner === undefined ? [] : [sql`${ownerIs} = ${owner}`]),
      ...(type === undefined ? [] : [sql`${typeIs} = ${type}`]),
      sql`true`,
    ])
  }
  const position = SqlSchema.findOne({
    Request: Schema.Struct({ owner: Schema.UndefinedOr(Schema.String), newest: Schema.Boolean }),
    Result: Position,
    execute: ({ owner, newest }) => sql`
      SELECT seq, at FROM events WHERE ${owner === undefined ? sql`true` : sql`token_id = ${owner}`}
      ORDER BY seq ${sql.literal(newest ? "DESC" : "ASC")} LIMIT 1`,
  })

  return {
    append: (event) => events.append([event]).pipe(transaction("recording an event")),

    changes: PubSub.subscribe(changes),
    publish: (change) => PubSub.publish(changes, change),

    newest: sql<{ seq: number | null }>`SELECT max(seq) AS seq FROM events`.pipe(
      Effect.map(([row]) => row?.seq ?? 0),
      asStorageFailure("looking for the newest event"),
    ),

    trimmedTo: sql<{ seq: number }>`SELECT trimmed_to AS seq FROM retention WHERE name = 'events'`.pipe(
      Effect.map(([row]) => row?.seq ?? 0),
      asStorageFailure("looking how far retention has come"),
    ),

    latest: (filter, limit) =>
      sql`${found} WHERE ${matches(filter)} ORDER BY e.seq DESC LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeEvents),
        asStorageFailure("reading events"),
      ),

    after: (seq, filter, limit) =>
      sql`${found} WHERE e.seq > ${seq} AND ${matches(filter)} ORDER BY e.seq LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeEvents),
        asStorageFailure("reading events"),
      ),

    summary: (viewer) =>
      Effect.gen(function* () {
        const owner = ownerSeenBy(viewer)
        const counted = yield* owner === undefined
          ? sql<Counted>`SELECT type, sum(count) AS count FROM event_counts GROUP BY type HAVING sum(count) > 0`
          : sql<Counted>`SELECT type, count FROM event_counts WHERE owner = ${owner} AND count > 0`
        const oldest = yield* position({ owner, newest: false })
        const newest = yield* position({ owner, newest: true })
        const counts = new Map(counted.map(({ type, count }) => [type, count]))
        return { counts, oldest: Option.getOrNull(oldest), newest: Option.getOrNull(newest) }
      }).pipe(transaction("counting events")),
  }
}

interface Counted {
  readonly type: EventType
  readonly count: number
}
