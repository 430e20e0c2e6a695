import { Effect } from "effect"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS } from "../../domain/Origin.ts"
import { type RetentionRecords, ROWS_MIN_MILLIS, type StreamPass } from "../../services/journal/Ledger.ts"
import { yieldToEventLoop } from "../../services/journal/YieldToEventLoop.ts"
import { BUSY_MILLIS } from "./Database.ts"
import { firstWithin } from "./FirstWithin.ts"
import { asStorageFailure, type LedgerDatabase, transactionConnection } from "./LedgerDatabase.ts"
import { executeUnprepared } from "./Pragmas.ts"

/** How many rows one step removes. */
const ROWS_MAX = 300
/** How many bytes of text one step removes. A single text may be larger. */
const BYTES_MAX = 1024 * 1024
/** How many runs lose their texts in one step. */
const RUNS_MAX = 30
interface StreamRow {
  readonly seq: number
  readonly runId: RunId
  readonly at: number
  readonly bytes: number
}

/** Makes the removal of what has been kept long enough. */
export const retentionRecords = ({ sql, transaction }: LedgerDatabase): RetentionRecords => {
  /** Runs one step as a transaction. Lets other work run before it returns. */
  const step =
    (during: string) =>
    <A, E>(effect: Effect.Effect<A, E>) =>
      effect.pipe(transaction(during), Effect.zipLeft(yieldToEventLoop))

  /** Removes some of a run's text, the oldest first. Removes its input when no text is left. */
  const dropText = (run: RunId, trimmedTo: number, most: { rows: number; bytes: number }) =>
    Effect.gen(function* () {
      const there = yield* sql<{ seq: number; bytes: number }>`
        SELECT seq, bytes FROM stream_events WHERE run_id = ${run} AND seq > ${trimmedTo}
        ORDER BY seq LIMIT ${most.rows}`
      const rows = firstWithin(there, most.bytes)
      const last = rows.at(-1)
      if (last !== undefined) {
        yield* sql`
          UPDATE stream_events SET body = NULL, bytes = 0
          WHERE run_id = ${run} AND seq > ${trimmedTo} AND seq <= ${last.seq}`
      }
      const done = there.length < most.rows && rows.length === there.length
      yield* done
        ? sql`UPDATE runs SET trimmed_to = ${last?.seq ?? trimmedTo}, text_until = NULL WHERE id = ${run}`
        : sql`UPDATE runs SET trimmed_to = ${last?.seq ?? trimmedTo} WHERE id = ${run}`
      if (done) yield* sql`DELETE FROM run_inputs WHERE run_id = ${run}`
      return { done, rows: rows.length, bytes: rows.reduce((sum, row) => sum + row.bytes, 0) }
    })

  /** Returns the runs that keep their rows: see `StreamPass`. */
  const sparedOf = (runs: ReadonlyArray<RunId>, { at }: StreamPass) =>
    Effect.map(
      sql<{ id: RunId }>`
        SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(${JSON.stringify(runs)})) AND (
          finished_at IS NULL OR finished_at > ${at - ROWS_MIN_MILLIS} OR EXISTS (
            SELECT 1 FROM idempotency_keys WHERE run_id = runs.id AND created_at > ${at - IDEMPOTENCY_KEY_MILLIS}
          )
        )`,
      (rows) => new Set(rows.map(({ id }) => id)),
    )

  return {
    dropTexts: (at) =>
      Effect.gen(function* () {
        const due = yield* sql<{ id: RunId; trimmedTo: number }>`
          SELECT id, trimmed_to FROM runs WHERE text_until <= ${at} ORDER BY text_until LIMIT ${RUNS_MAX}`
        const left = { rows: ROWS_MAX, bytes: BYTES_MAX }
        let removed = 0
        for (const { id, trimmedTo } of due) {
          const { done, rows, bytes } = yield* dropText(id, trimmedTo, left)
          removed += rows
          left.rows -= rows
          left.bytes -= bytes
          if (!done || left.rows <= 0 || left.bytes <= 0) return { removed, done: false }
        }
        return { removed, done: due.length < RUNS_MAX }
      }).pipe(step("dropping texts whose time is over")),

    dropStreams: (pass) =>
      Effect.gen(function* () {
        const [total] = yield* sql<{ rows: number }>`SELECT rows FROM stream_totals WHERE id = 1`
        let excess = (total?.rows ?? 0) - pass.maxRows
        const there = yield* sql<StreamRow>`
          SELECT seq, run_id, at, bytes FROM stream_events WHERE seq > ${pass.seq} ORDER BY seq LIMIT ${ROWS_MAX}`
        const rows = firstWithin(there, BYTES_MAX)
        const spared = yield* sparedOf([...new Set(rows.map(({ runId }) => runId))], pass)

        const gone: Array<number> = []
        const trimmedTo = new Map<RunId, number>()
        let seq = pass.seq
        let done = there.length < ROWS_MAX && rows.length === there.length
        for (const row of rows) {
          if (row.at >= pass.before && excess <= 0) {
            done = true
            break
          }
          seq = row.seq
          if (spared.has(row.runId)) continue
          gone.push(seq)
          trimmedTo.set(row.runId, seq)
          excess -= 1
        }
        yield* sql`DELETE FROM stream_events WHERE seq IN (SELECT value FROM json_each(${JSON.stringify(gone)}))`
        for (const [run, last] of trimmedTo) {
          yield* sql`UPDATE runs SET trimmed_to = max(trimmed_to, ${last}) WHERE id = ${run}`
        }
        return { removed: gone.length, done, pass: { ...pass, seq } }
      }).pipe(step("removing rows of streams")),

    dropSessionMessages: (before) =>
      Effect.gen(function* () {
        // By number, not by time: what is removed must be a session's oldest, also after the clock was set.
        const there = yield* sql<{ seq: number; at: number; bytes: number; sessionId: SessionId }>`
          SELECT seq, at, bytes, session_id FROM session_messages WHERE seq > 0 ORDER BY seq LIMIT ${ROWS_MAX}`
        const young = there.findIndex(({ at }) => at >= before)
        const old = young < 0 ? there : there.slice(0, young)
        const due = firstWithin(old, BYTES_MAX)
        const last = due.at(-1)
        if (last === undefined) return { removed: 0, done: true }
        yield* sql`DELETE FROM session_messages WHERE seq <= ${last.seq}`
        const trimmedTo = new Map(due.map(({ sessionId, seq }) => [sessionId, seq]))
        for (const [session, seq] of trimmedTo) {
          yield* sql`UPDATE sessions SET messages_trimmed_to = ${seq} WHERE id = ${session}`
        }
        return { removed: due.length, done: due.length === old.length && old.length < ROWS_MAX }
      }).pipe(step("removing what agents said between turns")),

    dropEvents: (before) =>
      Effect.gen(function* () {
        const rows = yield* sql<{ seq: number; at: number }>`
          SELECT seq, at FROM events WHERE seq > 0 ORDER BY seq LIMIT ${ROWS_MAX}`
        const young = rows.findIndex(({ at }) => at >= before)
        const removed = young < 0 ? rows.length : young
        const last = rows[removed - 1]
        if (last === undefined) return { removed, done: true }
        yield* sql`DELETE FROM events WHERE seq <= ${last.seq}`
        yield* sql`UPDATE retention SET trimmed_to = ${last.seq} WHERE name = 'events'`
        const done = removed < ROWS_MAX
        // The trigger counts down to zero, also for apps of which there will never be an event again.
        if (done) yield* sql`DELETE FROM event_counts WHERE count = 0`
        return { removed, done }
      }).pipe(step("removing events whose time is over")),

    dropKeys: (at) =>
      Effect.gen(function* () {
        const rows = yield* sql`
          DELETE FROM idempotency_keys WHERE (token_id, route, key) IN (
            SELECT token_id, route, key FROM idempotency_keys
            WHERE created_at <= ${at - IDEMPOTENCY_KEY_MILLIS} ORDER BY created_at LIMIT ${ROWS_MAX}
          ) RETURNING 1`
        return { removed: rows.length, done: rows.length < ROWS_MAX }
      }).pipe(step("removing idempotency keys whose time is over")),

    sizes: Effect.gen(function* () {
      const [row] = yield* sql<{ events: number; rows: number; bytes: number; size: number; free: number }>`
        SELECT rows + (SELECT count(*) FROM session_messages) AS rows,
          bytes + (SELECT coalesce(sum(bytes), 0) FROM session_messages) AS bytes,
          (SELECT coalesce(sum(count), 0) FROM event_counts) AS events,
          page_count * page_size AS size, freelist_count * page_size AS free
        FROM stream_totals, pragma_page_count, pragma_page_size, pragma_freelist_count`
      return {
        events: row?.events ?? 0,
        streamRows: row?.rows ?? 0,
        streamBytes: row?.bytes ?? 0,
        databaseBytes: row?.size ?? 0,
        freeBytes: row?.free ?? 0,
      }
    }).pipe(asStorageFailure("measuring the database")),

    shrink: (bytes) =>
      Effect.gen(function* () {
        const [page] = yield* sql<{ pageSize: number }>`PRAGMA page_size`
        const pageSize = page?.pageSize ?? 4096
        // The driver executes only the first step of a pragma, and one step of this pragma frees one page.
        const connection = yield* transactionConnection
        const freeOne = connection.executeRaw("PRAGMA incremental_vacuum(1)", [])
        yield* Effect.replicateEffect(freeOne, Math.max(1, Math.round(bytes / pageSize)), { discard: true })
        const [row] = yield* sql<{ freelistCount: number }>`PRAGMA freelist_count`
        return (row?.freelistCount ?? 0) * pageSize
      }).pipe(step("giving space back to the disk")),

    // `secure_delete` overwrites deleted texts in the database. This removes their remains from the write-ahead log.
    purge: Effect.gen(function* () {
      const connection = yield* sql.reserve
      // Without waiting for other programs that read the file: all work of the service would wait, too.
      yield* executeUnprepared(connection, "PRAGMA busy_timeout = 0")
      yield* executeUnprepared(connection, "PRAGMA wal_checkpoint(TRUNCATE)").pipe(
        Effect.ensuring(Effect.orDie(executeUnprepared(connection, `PRAGMA busy_timeout = ${BUSY_MILLIS}`))),
      )
    }).pipe(Effect.scoped, Effect.uninterruptible, asStorageFailure("purging deleted texts")),
  }
}
