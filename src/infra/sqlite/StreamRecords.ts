import type { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import type { RunId } from "../../domain/Ids.ts"
import type { StreamEnd, StreamEvent } from "../../domain/Stream.ts"
import type { StreamRecords } from "../../services/journal/Ledger.ts"
import { quickTransaction } from "./QuickTransaction.ts"
import { storing } from "./Rows.ts"

/** Rows that are looked at at once. */
const ROWS_MAX = 128
/** What is read at once; a single message may be larger. */
const BYTES_MAX = 256 * 1024

/** Takes the next numbers of the one sequence, and returns the last. */
const TAKE_SEQS = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events' RETURNING seq"

/** Messages of one statement. */
const ROWS_AT_ONCE = 32

const insert = (count: number) =>
  `INSERT INTO stream_events (seq, run_id, kind, at, bytes, body)
    VALUES ${Array.from({ length: count }, () => "(?, ?, 'message', ?, ?, ?)").join(", ")}`

const INSERT = { 1: insert(1), [ROWS_AT_ONCE]: insert(ROWS_AT_ONCE) } as const

/** A run's beginning or its end; to be called in the transaction of the change that it tells of. */
export const appendToStream = (
  sql: SqlClient.SqlClient,
  { run, at, kind, body }: { run: RunId; at: number; kind: "run" | StreamEnd["kind"]; body: string },
) =>
  Effect.flatMap(
    sql.unsafe<{ seq: number }>(TAKE_SEQS, [1]),
    ([row]) => sql`
      INSERT INTO stream_events (seq, run_id, kind, at, bytes, body)
      VALUES (${row?.seq ?? 1}, ${run}, ${kind}, ${at}, ${Buffer.byteLength(body)}, ${body})`,
  )

export const streamRecords = (sql: SqlClient.SqlClient): StreamRecords => ({
  append: (messages) =>
    quickTransaction(sql, (connection) =>
      Effect.gen(function* () {
        const [row] = yield* connection.execute(TAKE_SEQS, [messages.length], undefined)
        let seq = row.seq - messages.length
        for (let n = 0; n < messages.length; ) {
          const count = messages.length - n >= ROWS_AT_ONCE ? ROWS_AT_ONCE : 1
          const rows = messages.slice(n, n + count)
          const values = rows.flatMap(({ run, at, body }) => [++seq, run, at, Buffer.byteLength(body), body])
          yield* connection.execute(INSERT[count], values, undefined)
          n += count
        }
      }),
    ).pipe(storing("keeping what an agent says")),

  read: (run, after) =>
    Effect.gen(function* () {
      const sizes = yield* sql<{ seq: number; bytes: number }>`
        SELECT seq, bytes FROM stream_events WHERE run_id = ${run} AND seq > ${after} ORDER BY seq LIMIT ${ROWS_MAX}`
      let bytes = 0
      const tooMuch = sizes.findIndex((row, n) => (bytes += row.bytes) > BYTES_MAX && n > 0)
      const last = sizes.at(tooMuch < 0 ? -1 : tooMuch - 1)
      if (last === undefined) return []
      return yield* sql<StreamEvent>`
        SELECT seq, kind, body FROM stream_events
        WHERE run_id = ${run} AND seq > ${after} AND seq <= ${last.seq} AND body IS NOT NULL ORDER BY seq`
    }).pipe(storing("reading what an agent said")),

  gap: (run, after) =>
    Effect.gen(function* () {
      const [row] = yield* sql<{ trimmed_to: number }>`SELECT trimmed_to FROM runs WHERE id = ${run}`
      if (row === undefined || row.trimmed_to <= after) return Option.none()
      const [next] = yield* sql<{ seq: number }>`
        SELECT seq FROM stream_events WHERE run_id = ${run} AND seq > ${row.trimmed_to} ORDER BY seq LIMIT 1`
      return Option.some({ kind: "resync" as const, seq: row.trimmed_to, oldest: next?.seq ?? null })
    }).pipe(storing("looking for a gap")),

  bytesAfter: (run, after) =>
    sql<{ bytes: number | null }>`
      SELECT sum(bytes) AS bytes FROM stream_events WHERE run_id = ${run} AND seq > ${after}`.pipe(
      Effect.map(([row]) => row?.bytes ?? 0),
      storing("measuring what an agent said"),
    ),

  end: (run) =>
    sql<StreamEnd>`
      SELECT kind, body FROM stream_events
      WHERE run_id = ${run} AND kind IN ('result', 'error') AND body IS NOT NULL ORDER BY seq DESC LIMIT 1`.pipe(
      Effect.map(([row]) => Option.fromNullable(row)),
      storing("reading a run's end"),
    ),
})
