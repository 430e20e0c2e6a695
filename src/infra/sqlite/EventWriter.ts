import type { SqlClient, SqlError } from "@effect/sql"
import { Effect } from "effect"
import type { NewEvent } from "../../domain/Event.ts"
import type { RunId } from "../../domain/Ids.ts"
import { isSessionEventType } from "../../domain/SessionStream.ts"
import type { StreamKind } from "../../domain/Stream.ts"
import type { LedgerDatabase } from "./LedgerDatabase.ts"

/** An event to append to a run's stream. */
export interface NewStreamEvent {
  readonly run: RunId
  readonly kind: StreamKind
  readonly at: number
  /** JSON without a line break. */
  readonly body: string
}

/** The only writer of the log and of the streams. It writes within the transaction of the caller. */
export interface EventWriter {
  /** Appends stream events, then log events. Both get their sequence numbers from one sequence, in this order. */
  readonly append: (
    events: ReadonlyArray<NewEvent>,
    stream?: ReadonlyArray<NewStreamEvent>,
  ) => Effect.Effect<void, SqlError.SqlError>
}

const TAKE_SEQS = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events' RETURNING seq"

/** Takes the next numbers of the sequence, and returns the first of them. */
export const takeSeqs = (sql: SqlClient.SqlClient, count: number) =>
  Effect.map(sql.unsafe<{ seq: number }>(TAKE_SEQS, [count]), ([row]) => (row?.seq ?? 0) - count + 1)

/** The numbers of rows that an INSERT can have. They are few, so that each statement is prepared once. */
const INSERT_SIZES = [32, 8, 4, 2, 1] as const

const rowsOf = (row: string, count: number): string => Array.from({ length: count }, () => row).join(", ")

const INSERT_STREAM = new Map(
  INSERT_SIZES.map((count) => [
    count,
    `INSERT INTO stream_events (seq, run_id, kind, at, bytes, body) VALUES ${rowsOf("(?, ?, ?, ?, ?, ?)", count)}`,
  ]),
)

/** Leaves the first numbers after the newest free, for the stream events of the same transaction. */
const INSERT_EVENTS = new Map(
  INSERT_SIZES.map((count) => [
    count,
    `INSERT INTO events (seq, type, at, run_id, session_id, token_id, data)
      SELECT s.seq + e.column1, e.column2, e.column3, e.column4, e.column5, e.column6, e.column7
      FROM sqlite_sequence AS s, (VALUES ${rowsOf("(?, ?, ?, ?, ?, ?, ?)", count)}) AS e
      WHERE s.name = 'events' RETURNING seq`,
  ]),
)

/** Splits a list into pieces of these sizes, in order. */
const pieces = function* <A>(list: ReadonlyArray<A>) {
  for (let from = 0; from < list.length; ) {
    const size = INSERT_SIZES.find((size) => size <= list.length - from) ?? 1
    yield [size, list.slice(from, from + size)] as const
    from += size
  }
}

/** Makes the writer of events. */
export const makeEventWriter = ({ sql, noteChange, noteSession }: LedgerDatabase): EventWriter => {
  const insertStream = (stream: ReadonlyArray<NewStreamEvent>, first: number) =>
    Effect.suspend(() => {
      let seq = first
      return Effect.forEach(
        pieces(stream),
        ([size, rows]) => {
          const values = rows.flatMap(({ run, kind, at, body }) => {
            noteChange(run)
            return [seq++, run, kind, at, Buffer.byteLength(body), body]
          })
          return sql.unsafe(INSERT_STREAM.get(size) ?? "", values)
        },
        { discard: true },
      )
    })

  return {
    append: (events, stream = []) =>
      Effect.gen(function* () {
        if (events.length === 0) {
          if (stream.length === 0) return
          return yield* insertStream(stream, yield* takeSeqs(sql, stream.length))
        }
        noteChange()
        for (const { type, sessionId } of events) {
          if (sessionId !== null && isSessionEventType(type)) noteSession(sessionId)
        }
        let room = stream.length
        let first: number | undefined
        for (const [size, some] of pieces(events)) {
          const values = some.flatMap(({ type, at, runId, sessionId, tokenId, data }, n) => [
            room + n + 1,
            type,
            at,
            runId,
            sessionId,
            tokenId,
            JSON.stringify(data),
          ])
          const rows = yield* sql.unsafe<{ seq: number }>(INSERT_EVENTS.get(size) ?? "", values)
          first ??= Math.min(...rows.map(({ seq }) => seq)) - stream.length
          room = 0
        }
        yield* insertStream(stream, first ?? 1)
      }),
  }
}
