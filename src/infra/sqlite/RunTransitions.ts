import { Effect } from "effect"
import type { NewEvent } from "../../domain/Event.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { RunSpec } from "../../domain/Run.ts"
import type { RunEnd } from "../../services/journal/Ledger.ts"
import type { EventWriter } from "./EventWriter.ts"
import { storeAnswer } from "./IdempotencyKeyRecords.ts"
import type { LedgerDatabase } from "./LedgerDatabase.ts"

/**
 * The writes that go with a change of a run's state, outside of the run's row: to the log, its stream, its idempotency
 * key and its session. They run within the transaction of the change.
 */

/** The part of an ended run's row that is needed for what is written with its end. */
export interface EndedRow {
  readonly id: RunId
  readonly tokenId: TokenId
  readonly sessionId: SessionId | null
  readonly turnIndex: number | null
}

/** Writes that a run was accepted, and that it started if `startedAt` is given. */
export const writeAcceptance = (
  database: LedgerDatabase,
  events: EventWriter,
  spec: RunSpec,
  turnIndex: number | null,
  { at, startedAt }: { readonly at: number; readonly startedAt: number | undefined },
) => {
  const sessionId = spec.kind === "turn" ? spec.sessionId : null
  const subject = { runId: spec.id, sessionId, tokenId: spec.owner, data: {} }
  const started: ReadonlyArray<NewEvent> =
    startedAt === undefined ? [] : [{ type: "run.started", at: startedAt, ...subject }]
  const body = {
    run_id: spec.id,
    ...(sessionId === null ? {} : { session_id: sessionId, turn_index: turnIndex }),
  }
  return Effect.zipRight(
    events.append(
      [{ type: "run.queued", at, ...subject }, ...started],
      [{ run: spec.id, kind: "run", at, body: JSON.stringify(body) }],
    ),
    storeAnswer(database, spec.origin, { run_id: spec.id }, { owner: spec.owner, run: spec.id, at }),
  )
}

/** Writes that a run has ended, with the messages that are not stored yet. */
export const writeEnd = (
  { sql }: LedgerDatabase,
  events: EventWriter,
  { id, tokenId, sessionId, turnIndex }: EndedRow,
  {
    at,
    ended,
    last,
    unstored,
    began,
  }: Omit<RunEnd, "ended"> & {
    readonly ended: Pick<RunEnd["ended"], "status" | "code" | "stopReason" | "agentCostUsd">
  },
) =>
  Effect.gen(function* () {
    const subject = { at, runId: id, sessionId, tokenId }
    const end: NewEvent = {
      type: `run.${ended.status}`,
      ...subject,
      // A lost run has a code in its row only. Its event has none on the wire.
      data: ended.code === null || ended.status === "lost" ? {} : { code: ended.code },
    }
    const turn: ReadonlyArray<NewEvent> =
      sessionId === null ? [] : [{ type: "session.turn", ...subject, data: { turn_index: turnIndex } }]
    yield* events.append(
      [end, ...turn],
      [...unstored.map((message) => ({ kind: "message" as const, ...message })), { run: id, at, ...last }],
    )
    // The request of a run that never began can be sent again with the same key.
    if (!began) yield* sql`DELETE FROM idempotency_keys WHERE run_id = ${id}`
    if (sessionId === null) return
    const answered = ended.stopReason !== null && ended.stopReason !== "cancelled" ? 1 : 0
    yield* sql`
      UPDATE sessions SET last_turn_at = ${at}, answered = max(answered, ${answered}),
        agent_cost_usd = coalesce(${ended.agentCostUsd ?? null}, agent_cost_usd)
      WHERE id = ${sessionId}`
  })
