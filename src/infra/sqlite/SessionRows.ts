import { Schema } from "effect"
import { SessionId, TokenId } from "../../domain/Ids.ts"
import {
  AgentName,
  AgentSessionRef,
  PermissionMode,
  type SessionMeta,
  type SessionRecord,
} from "../../domain/Session.ts"
import { rowsTo } from "./Rows.ts"

/** What is read of a session; its row also has where it came from, and since when it is quiet. */
export const SESSION_COLUMNS = `id, token_id, agent, model, meta, permission_mode, status, ref, answered, turn_count,
  created_at, last_turn_at, closed_at`

/** As it was checked when it came in: a record of the framework's would lose a key `__proto__`. */
const Meta = Schema.declare((value): value is SessionMeta => typeof value === "object" && value !== null)

const SessionRow = Schema.Struct({
  id: SessionId,
  token_id: TokenId,
  agent: AgentName,
  model: Schema.NullOr(Schema.String),
  meta: Schema.NullOr(Schema.parseJson(Meta)),
  permission_mode: PermissionMode,
  status: Schema.Literal("open", "closed"),
  ref: Schema.NullOr(AgentSessionRef),
  answered: Schema.Number,
  turn_count: Schema.Number,
  created_at: Schema.Number,
  last_turn_at: Schema.NullOr(Schema.Number),
  closed_at: Schema.NullOr(Schema.Number),
})

export const toSessions = rowsTo(
  "sessions",
  SessionRow,
  (row): SessionRecord => ({
    id: row.id,
    tokenId: row.token_id,
    agent: row.agent,
    model: row.model,
    meta: row.meta,
    permissionMode: row.permission_mode,
    status: row.status,
    ref: row.ref,
    answered: row.answered === 1,
    turnCount: row.turn_count,
    createdAt: row.created_at,
    lastTurnAt: row.last_turn_at,
    closedAt: row.closed_at,
  }),
)
