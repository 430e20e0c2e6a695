import { Schema } from "effect"
import { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { type RunRecord, RunStatus, Usage } from "../../domain/Run.ts"
import { rowsTo } from "./Rows.ts"

/** What is read of a run. */
export const RUN_COLUMNS = `id, kind, token_id, session_id, turn_index, status, model, created_at, started_at,
  finished_at, duration_ms, stop_reason, code, usage, cost_usd, prompt_chars, response_chars, request_id`

const RunRow = Schema.Struct({
  id: RunId,
  kind: Schema.Literal("run", "turn"),
  token_id: TokenId,
  session_id: Schema.NullOr(SessionId),
  turn_index: Schema.NullOr(Schema.Number),
  status: RunStatus,
  model: Schema.NullOr(Schema.String),
  created_at: Schema.Number,
  started_at: Schema.NullOr(Schema.Number),
  finished_at: Schema.NullOr(Schema.Number),
  duration_ms: Schema.NullOr(Schema.Number),
  stop_reason: Schema.NullOr(Schema.String),
  code: Schema.NullOr(Schema.String),
  usage: Schema.NullOr(Schema.parseJson(Usage)),
  cost_usd: Schema.NullOr(Schema.Number),
  prompt_chars: Schema.Number,
  response_chars: Schema.NullOr(Schema.Number),
  request_id: Schema.String,
})

export const toRuns = rowsTo(
  "runs",
  RunRow,
  (row): RunRecord => ({
    id: row.id,
    kind: row.kind,
    tokenId: row.token_id,
    sessionId: row.session_id,
    turnIndex: row.turn_index,
    status: row.status,
    model: row.model,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    durationMs: row.duration_ms,
    stopReason: row.stop_reason,
    code: row.code,
    usage: row.usage,
    costUsd: row.cost_usd,
    promptChars: row.prompt_chars,
    responseChars: row.response_chars,
    requestId: row.request_id,
  }),
)
