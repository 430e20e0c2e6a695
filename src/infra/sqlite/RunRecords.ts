import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { Unauthorized } from "../../domain/Failure.ts"
import type { EndStatus, RunEnded } from "../../domain/Run.ts"
import type { RunRecords } from "../../services/Ledger.ts"
import { appendEvent, storing } from "./Rows.ts"

const EVENT_OF = {
  completed: "run.completed",
  failed: "run.failed",
  cancelled: "run.cancelled",
  timed_out: "run.timed_out",
  lost: "run.lost",
} as const satisfies Record<EndStatus, string>

export const runRecords = (sql: SqlClient.SqlClient): RunRecords => ({
  open: (run) =>
    Effect.gen(function* () {
      // Asking first whether the token is in force would let it be revoked in between.
      const opened = yield* sql`
        INSERT INTO runs (id, kind, token_id, status, model, created_at, prompt_chars, request_id, address)
        SELECT ${run.id}, 'run', id, 'queued', ${run.model}, ${run.at}, ${run.promptChars},
          ${run.origin.requestId}, ${run.origin.address}
        FROM tokens WHERE id = ${run.tokenId} AND revoked_at IS NULL
        RETURNING id`
      if (opened.length === 0) return yield* new Unauthorized()
      yield* appendEvent(sql, { type: "run.queued", at: run.at, runId: run.id, tokenId: run.tokenId })
    }).pipe(sql.withTransaction, storing("accepting a run")),

  start: (run, at) =>
    Effect.gen(function* () {
      const [started] = yield* sql<{ token_id: string }>`
        UPDATE runs SET status = 'running', started_at = ${at}
        WHERE id = ${run} AND status = 'queued' RETURNING token_id`
      if (started === undefined) return
      yield* appendEvent(sql, { type: "run.started", at, runId: run, tokenId: started.token_id })
    }).pipe(sql.withTransaction, storing("starting a run")),

  end: (run, end, at) =>
    Effect.gen(function* () {
      const [ended] = yield* sql<{ token_id: string }>`
        UPDATE runs SET ${sql.update(columnsOf(end, at))}
        WHERE id = ${run} AND status IN ('queued', 'running') RETURNING token_id`
      if (ended === undefined) return
      yield* appendEvent(sql, {
        type: EVENT_OF[end.status],
        at,
        runId: run,
        tokenId: ended.token_id,
        data: end.code === null ? {} : { code: end.code },
      })
    }).pipe(sql.withTransaction, storing("recording a run's end")),

  loseUnfinished: (at) =>
    Effect.gen(function* () {
      const lost = yield* sql<{ id: string; token_id: string }>`
        UPDATE runs SET status = 'lost', finished_at = ${at}, code = 'run_failed'
        WHERE status IN ('queued', 'running') RETURNING id, token_id`
      for (const run of lost) {
        yield* appendEvent(sql, { type: "run.lost", at, runId: run.id, tokenId: run.token_id })
      }
      return lost.length
    }).pipe(sql.withTransaction, storing("closing the books of a server that died")),
})

const columnsOf = (end: RunEnded, at: number) => ({
  status: end.status,
  finished_at: at,
  duration_ms: end.durationMs,
  stop_reason: end.stopReason,
  code: end.code,
  usage: end.usage === null ? null : JSON.stringify(end.usage),
  cost_usd: end.costUsd,
  response_chars: end.responseChars,
})
