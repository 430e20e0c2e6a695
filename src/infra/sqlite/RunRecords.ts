import type { SqlClient } from "@effect/sql"
import { Effect, Exit, Option } from "effect"
import { RunLost, SessionClosed, SessionNotFound, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import { streamEndOf } from "../../domain/Outcome.ts"
import { CLAIM_MILLIS, type EndStatus, type RunEnded, type RunOpened } from "../../domain/Run.ts"
import type { StreamEnd } from "../../domain/Stream.ts"
import type { RunRecords } from "../../services/journal/Ledger.ts"
import { type EventWriter, isInForce, storing } from "./Rows.ts"
import { RUN_COLUMNS, toRuns } from "./RunRows.ts"
import { appendToStream } from "./StreamRecords.ts"
import { keepAnswer } from "./KeyRecords.ts"

const EVENT_OF = {
  completed: "run.completed",
  failed: "run.failed",
  cancelled: "run.cancelled",
  timed_out: "run.timed_out",
  lost: "run.lost",
} as const satisfies Record<EndStatus, string>

/** Whoever waits for a turn reads what was said from here, once it has ended. */
const ANSWERING_MILLIS = 1000

/** More than anybody can have been told since the last transaction that was waited for. */
const UNSEEN = 1_000_000

/** What is read of a run that changes; of one that is no turn, two are null. */
interface Changed {
  readonly id: RunId
  readonly token_id: string
  readonly session_id: string | null
  readonly turn_index: number | null
}

export const runRecords = (
  sql: SqlClient.SqlClient,
  events: EventWriter,
  options: { readonly streamRetentionSecs: number },
): RunRecords => {
  const columns = sql.literal(RUN_COLUMNS)

  /** The beginning of a run, with what its app may ask for again. */
  const begun = (run: Omit<RunOpened, "model">, turn: { sessionId: SessionId; index: number } | null) =>
    Effect.gen(function* () {
      const { id, at, tokenId, claim } = run
      yield* events.append({ type: "run.queued", at, runId: id, sessionId: turn?.sessionId ?? null, tokenId })
      const said = turn === null ? {} : { session_id: turn.sessionId, turn_index: turn.index }
      yield* appendToStream(sql, { run: id, at, kind: "run", body: JSON.stringify({ run_id: id, ...said }) })
      yield* keepAnswer(sql, { owner: tokenId, claim, answer: { run_id: id }, run: id, at })
    })

  /** What a run's end means to others: its event, and of a turn what its session learns. */
  const ended = (
    { id, token_id, session_id, turn_index }: Changed,
    end: Pick<RunEnded, "status" | "stopReason" | "code">,
    at: number,
    last: StreamEnd,
  ) =>
    Effect.gen(function* () {
      const subject = { at, runId: id, sessionId: session_id, tokenId: token_id }
      const data = end.code === null ? {} : { code: end.code }
      yield* events.append({ ...subject, type: EVENT_OF[end.status], data })
      yield* appendToStream(sql, { run: id, at, ...last })
      // What did not start may be asked for again, and is then begun.
      yield* sql`
        DELETE FROM idempotency_keys
        WHERE run_id = ${id} AND (SELECT started_at FROM runs WHERE id = ${id}) IS NULL`
      yield* sql`
        UPDATE runs SET text_until = max(
          ${at + Math.max(options.streamRetentionSecs * 1000, ANSWERING_MILLIS)},
          coalesce((SELECT created_at + ${CLAIM_MILLIS} FROM idempotency_keys WHERE run_id = ${id}), 0)
        ) WHERE id = ${id}`
      if (session_id === null) return
      const answered = end.stopReason !== null && end.stopReason !== "cancelled" ? 1 : 0
      yield* sql`
        UPDATE sessions SET last_turn_at = ${at}, answered = max(answered, ${answered}) WHERE id = ${session_id}`
      yield* events.append({ ...subject, type: "session.turn", data: { turn_index } })
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
        yield* begun(run, null)
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
        yield* begun(run, { sessionId: session, index })
        return index
      }).pipe(sql.withTransaction, storing("accepting a turn")),

    start: (run, at) =>
      Effect.gen(function* () {
        const [started] = yield* sql<{ token_id: string; session_id: string | null }>`
          UPDATE runs SET status = 'running', started_at = ${at}
          WHERE id = ${run} AND status = 'queued' RETURNING token_id, session_id`
        if (started === undefined) return
        const subject = { runId: run, sessionId: started.session_id, tokenId: started.token_id }
        yield* events.append({ type: "run.started", at, ...subject })
      }).pipe(sql.withTransaction, storing("starting a run")),

    end: (run, end, at, last) =>
      Effect.gen(function* () {
        const [changed] = yield* sql<Changed>`
          UPDATE runs SET ${sql.update(columnsOf(end, at))}
          WHERE id = ${run} AND status IN ('queued', 'running')
          RETURNING id, token_id, session_id, turn_index`
        if (changed !== undefined) yield* ended(changed, end, at, last)
      }).pipe(sql.withTransaction, storing("recording a run's end")),

    loseUnfinished: (at) =>
      Effect.gen(function* () {
        const lost = yield* sql<Changed>`
          UPDATE runs SET status = 'lost', finished_at = ${at}, code = 'run_failed'
          WHERE status IN ('queued', 'running') RETURNING id, token_id, session_id, turn_index`
        const end = { status: "lost", stopReason: null, code: null } as const
        const last = streamEndOf(Exit.fail(new RunLost()))
        yield* Effect.forEach(lost, (run) => ended(run, end, at, last), { discard: true })
        // After a power failure, numbers that somebody has seen may be unknown here: none is given out twice.
        if (lost.length > 0) {
          yield* sql`UPDATE sqlite_sequence SET seq = seq + ${UNSEEN} WHERE name = 'events'`
        }
        return lost.length
      }).pipe(sql.withTransaction, storing("closing the books of a server that died")),

    find: (run) =>
      sql`SELECT ${columns} FROM runs WHERE id = ${run}`.pipe(
        storing("looking up a run"),
        Effect.flatMap(toRuns),
        Effect.map(([found]) => Option.fromNullable(found)),
      ),

    findTurn: (session, index) =>
      sql`SELECT ${columns} FROM runs WHERE session_id = ${session} AND turn_index = ${index}`.pipe(
        storing("looking up a turn"),
        Effect.flatMap(toRuns),
        Effect.map(([found]) => Option.fromNullable(found)),
      ),

    page: ({ owner, status, sessionId }, limit, before) => {
      const wanted = sql.and([
        ...(owner === undefined ? [] : [sql`token_id = ${owner}`]),
        ...(status === undefined ? [] : [sql`status = ${status}`]),
        ...(sessionId === undefined ? [] : [sql`session_id = ${sessionId}`]),
        ...(before === undefined ? [] : [sql`id < ${before}`]),
        sql`true`,
      ])
      return sql`SELECT ${columns} FROM runs WHERE ${wanted} ORDER BY id DESC LIMIT ${limit}`.pipe(
        storing("listing runs"),
        Effect.flatMap(toRuns),
      )
    },
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
