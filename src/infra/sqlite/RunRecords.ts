import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { SessionClosed, SessionNotFound, Unauthorized } from "../../domain/Failure.ts"
import type { EndStatus, RunEnded } from "../../domain/Run.ts"
import type { RunRecords } from "../../services/Ledger.ts"
import { appendEvent, isInForce, storing } from "./Rows.ts"

const EVENT_OF = {
  completed: "run.completed",
  failed: "run.failed",
  cancelled: "run.cancelled",
  timed_out: "run.timed_out",
  lost: "run.lost",
} as const satisfies Record<EndStatus, string>

/** What is read of a run that changes; of one that is no turn, two are null. */
interface Changed {
  readonly id: string
  readonly token_id: string
  readonly session_id: string | null
  readonly turn_index: number | null
}

export const runRecords = (sql: SqlClient.SqlClient): RunRecords => {
  /** What a run's end means to others: its event, and of a turn what its session learns. */
  const ended = (
    { id, token_id, session_id, turn_index }: Changed,
    end: Pick<RunEnded, "status" | "stopReason" | "code">,
    at: number,
  ) =>
    Effect.gen(function* () {
      const subject = { at, runId: id, sessionId: session_id, tokenId: token_id }
      const data = end.code === null ? {} : { code: end.code }
      yield* appendEvent(sql, { ...subject, type: EVENT_OF[end.status], data })
      if (session_id === null) return
      const answered = end.stopReason !== null && end.stopReason !== "cancelled" ? 1 : 0
      yield* sql`
        UPDATE sessions SET last_turn_at = ${at}, answered = max(answered, ${answered}) WHERE id = ${session_id}`
      yield* appendEvent(sql, { ...subject, type: "session.turn", data: { turn_index } })
    })

  return {
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

    openTurn: (run, session) =>
      Effect.gen(function* () {
        const own = sql`id = ${session} AND token_id = ${run.tokenId}`
        const [turn] = yield* sql<{ turn_count: number; model: string | null }>`
          UPDATE sessions SET turn_count = turn_count + 1, last_turn_at = ${run.at}
          WHERE ${own} AND status = 'open'
            AND EXISTS (SELECT 1 FROM tokens WHERE tokens.id = token_id AND revoked_at IS NULL)
          RETURNING turn_count, model`
        if (turn === undefined) {
          if (!(yield* isInForce(sql, run.tokenId))) return yield* new Unauthorized()
          const closed = yield* sql`SELECT 1 FROM sessions WHERE ${own} AND status = 'closed'`
          return yield* closed.length > 0 ? new SessionClosed() : new SessionNotFound()
        }
        const { turn_count: index, model } = turn
        yield* sql`
          INSERT INTO runs
            (id, kind, token_id, session_id, turn_index, status, model, created_at, prompt_chars, request_id, address)
          VALUES (${run.id}, 'turn', ${run.tokenId}, ${session}, ${index}, 'queued', ${model}, ${run.at},
            ${run.promptChars}, ${run.origin.requestId}, ${run.origin.address})`
        const subject = { runId: run.id, sessionId: session, tokenId: run.tokenId }
        yield* appendEvent(sql, { type: "run.queued", at: run.at, ...subject })
        return index
      }).pipe(sql.withTransaction, storing("accepting a turn")),

    start: (run, at) =>
      Effect.gen(function* () {
        const [started] = yield* sql<{ token_id: string; session_id: string | null }>`
          UPDATE runs SET status = 'running', started_at = ${at}
          WHERE id = ${run} AND status = 'queued' RETURNING token_id, session_id`
        if (started === undefined) return
        const subject = { runId: run, sessionId: started.session_id, tokenId: started.token_id }
        yield* appendEvent(sql, { type: "run.started", at, ...subject })
      }).pipe(sql.withTransaction, storing("starting a run")),

    end: (run, end, at) =>
      Effect.gen(function* () {
        const [changed] = yield* sql<Changed>`
          UPDATE runs SET ${sql.update(columnsOf(end, at))}
          WHERE id = ${run} AND status IN ('queued', 'running')
          RETURNING id, token_id, session_id, turn_index`
        if (changed !== undefined) yield* ended(changed, end, at)
      }).pipe(sql.withTransaction, storing("recording a run's end")),

    loseUnfinished: (at) =>
      Effect.gen(function* () {
        const lost = yield* sql<Changed>`
          UPDATE runs SET status = 'lost', finished_at = ${at}, code = 'run_failed'
          WHERE status IN ('queued', 'running') RETURNING id, token_id, session_id, turn_index`
        yield* Effect.forEach(
          lost,
          (run) => ended(run, { status: "lost", stopReason: null, code: null }, at),
          {
            discard: true,
          },
        )
        return lost.length
      }).pipe(sql.withTransaction, storing("closing the books of a server that died")),
  }
}

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
