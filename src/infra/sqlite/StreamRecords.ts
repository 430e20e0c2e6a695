import { SqlSchema } from "@effect/sql"
import { Effect, Option, Schema } from "effect"
import { RunId } from "../../domain/Ids.ts"
import type { StreamEnd, StreamEvent } from "../../domain/Stream.ts"
import type { StreamRecords } from "../../services/journal/Ledger.ts"
import type { EventWriter } from "./EventWriter.ts"
import { firstWithin } from "./FirstWithin.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

/** How many rows one read returns at most. */
const ROWS_MAX = 128
/** How many bytes one read returns. A single message may be larger. */
const BYTES_MAX = 256 * 1024

const End = Schema.Struct({ kind: Schema.Literal("result", "error"), body: Schema.String })

/** Makes the records of runs' streams. */
export const streamRecords = (
  { sql, quickTransaction }: LedgerDatabase,
  events: EventWriter,
): StreamRecords => {
  const end = SqlSchema.findOne({
    Request: RunId,
    Result: End,
    execute: (run) => sql<StreamEnd>`
      SELECT kind, body FROM stream_events
      WHERE run_id = ${run} AND kind IN ('result', 'error') AND body IS NOT NULL ORDER BY seq DESC LIMIT 1`,
  })

  return {
    append: (messages) =>
      events
        .append(
          [],
          messages.map((message) => ({ kind: "message", ...message })),
        )
        .pipe(quickTransaction("storing what an agent says")),

    // Not decoded by a schema: there may be a hundred thousand rows, and the table itself checks `kind`.
    read: (run, after) =>
      Effect.gen(function* () {
        const sizes = yield* sql<{ seq: number; bytes: number }>`
          SELECT seq, bytes FROM stream_events WHERE run_id = ${run} AND seq > ${after} ORDER BY seq LIMIT ${ROWS_MAX}`
        const last = firstWithin(sizes, BYTES_MAX).at(-1)
        if (last === undefined) return []
        return yield* sql<StreamEvent>`
          SELECT seq, kind, body FROM stream_events
          WHERE run_id = ${run} AND seq > ${after} AND seq <= ${last.seq} AND body IS NOT NULL ORDER BY seq`
      }).pipe(asStorageFailure("reading what an agent said")),

    gap: (run, after) =>
      Effect.gen(function* () {
        const [row] = yield* sql<{ trimmedTo: number }>`SELECT trimmed_to FROM runs WHERE id = ${run}`
        if (row === undefined || row.trimmedTo <= after) return Option.none()
        const [next] = yield* sql<{ seq: number }>`
          SELECT seq FROM stream_events WHERE run_id = ${run} AND seq > ${row.trimmedTo} ORDER BY seq LIMIT 1`
        return Option.some({ kind: "resync" as const, seq: row.trimmedTo, oldest: next?.seq ?? null })
      }).pipe(asStorageFailure("looking for a gap")),

    bytesAfter: (run, after) =>
      sql<{ bytes: number | null }>`
        SELECT sum(bytes) AS bytes FROM stream_events WHERE run_id = ${run} AND seq > ${after}`.pipe(
        Effect.map(([row]) => row?.bytes ?? 0),
        asStorageFailure("measuring what an agent said"),
      ),

    end: (run) => end(run).pipe(asStorageFailure("reading a run's end")),
  }
}
