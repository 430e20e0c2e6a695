import { SqlSchema } from "@effect/sql"
import { Effect, Exit, Option, Schema } from "effect"
import { RunLost, SessionClosed, SessionNotFound, Unauthorized } from "../../domain/Failure.ts"
import { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS } from "../../domain/Origin.ts"
import { encodeOutcome } from "../../domain/Outcome.ts"
import {
  RunInput,
  RunRecord,
  type RunSpec,
  type RunStatus,
  statesBefore,
  type TurnSpec,
  UNFINISHED,
  Usage,
} from "../../domain/Run.ts"
import { ownerSeenBy } from "../../domain/Viewer.ts"
import { LOST, type RunEnd, type RunRecords, TEXT_MIN_MILLIS } from "../../services/journal/Ledger.ts"
import { columnsOf } from "./Columns.ts"
import type { EventWriter } from "./EventWriter.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"
import { writeAcceptance, writeEnd } from "./RunTransitions.ts"
import { SessionRow } from "./SessionRecords.ts"
import { isInForce } from "./TokenRecords.ts"

/**
 * How many sequence numbers are skipped after a crash. A power failure may lose numbers that clients have seen, since
 * the last transaction that waited for the disk. This is far more than any client can have been sent.
 */
const SKIPPED_AFTER_CRASH = 1_000_000

const RunRow = Schema.Struct({ ...RunRecord.fields, usage: Schema.NullOr(Schema.parseJson(Usage)) })

/** What a change of a run returns of its row, for its events. */
const Ended = Schema.Struct({
  id: RunId,
  tokenId: TokenId,
  sessionId: Schema.NullOr(SessionId),
  turnIndex: Schema.NullOr(Schema.Number),
})
const decodeEnded = Schema.decodeUnknown(Schema.Array(Ended))
const decodeSessions = Schema.decodeUnknown(Schema.Array(SessionRow))
const encodeInput = Schema.encodeSync(Schema.parseJson(RunInput))

const list = (statuses: ReadonlyArray<RunStatus>): string =>
  statuses.map((status) => `'${status}'`).join(", ")

/** Makes the records of runs. */
export const runRecords = (
  database: LedgerDatabase,
  events: EventWriter,
  options: { readonly streamRetentionSecs: number },
): RunRecords => {
  const { sql, transaction } = database
  const columns = sql.literal(columnsOf(RunRow))
  const subject = sql.literal(columnsOf(Ended))
  const isUnfinished = sql.literal(`status IN (${list(UNFINISHED)})`)

  /** Inserts a one-shot. */
  const acceptOneShot = (
    run: RunSpec & { readonly kind: "run" },
    at: number,
    startedAt: number | undefined,
  ) =>
    Effect.gen(function* () {
      // One statement checks the token and inserts. Between two statements the token could be revoked.
      const accepted = yield* sql`
        INSERT INTO runs
          (id, kind, token_id, status, model, created_at, started_at, prompt_chars, request_id, address)
        SELECT ${run.id}, 'run', id, ${startedAt === undefined ? "queued" : "running"}, ${run.model}, ${at},
          ${startedAt ?? null}, ${run.input.prompt.length}, ${run.origin.requestId}, ${run.origin.address}
        FROM tokens WHERE id = ${run.owner} AND revoked_at IS NULL
        RETURNING id`
      if (accepted.length === 0) return yield* new Unauthorized()
      return null
    })

  /** Counts the session's turns and inserts the next one. Returns its index and its session. */
  const acceptTurn = (run: TurnSpec, at: number, startedAt: number | undefined) =>
    Effect.gen(function* () {
      const own = sql`id = ${run.sessionId} AND token_id = ${run.owner}`
      const counted = yield* sql`
        UPDATE sessions SET turn_count = turn_count + 1, last_turn_at = ${at}
        WHERE ${own} AND status = 'open'
          AND EXISTS (SELECT 1 FROM tokens WHERE tokens.id = token_id AND revoked_at IS NULL)
        RETURNING ${sql.literal(columnsOf(SessionRow))}`
      const [session] = yield* decodeSessions(counted)
      if (session === undefined) {
        if (!(yield* isInForce(sql, run.owner))) return yield* new Unauthorized()
        const closed = yield* sql`SELECT 1 FROM sessions WHERE ${own} AND status = 'closed'`
        return yield* closed.length > 0 ? new SessionClosed() : new SessionNotFound()
      }
      yield* sql`
        INSERT INTO runs (id, kind, token_id, session_id, turn_index, status, model, created_at, started_at,
          prompt_chars, request_id, address)
        VALUES (${run.id}, 'turn', ${run.owner}, ${run.sessionId}, ${session.turnCount},
          ${startedAt === undefined ? "queued" : "running"}, ${session.model}, ${at}, ${startedAt ?? null},
          ${run.input.prompt.length}, ${run.origin.requestId}, ${run.origin.address})`
      return { index: session.turnCount, session }
    })

  /** Moves a run to its final state, unless it has one. */
  const endRun = (run: RunId, end: RunEnd) =>
    Effect.gen(function* () {
      const { at, ended, began } = end
      const textUntil = at + Math.max(options.streamRetentionSecs * 1000, TEXT_MIN_MILLIS)
      const changed = yield* sql`
        UPDATE runs SET status = ${ended.status}, finished_at = max(${at}, coalesce(started_at, created_at)),
          duration_ms = ${ended.durationMs},
          stop_reason = ${ended.stopReason}, code = ${ended.code},
          usage = ${ended.usage === null ? null : JSON.stringify(ended.usage)}, cost_usd = coalesce(${ended.costUsd}, cost_usd),
          model = coalesce(iif(kind = 'turn', ${ended.model ?? null}, NULL), model),
          response_chars = ${ended.responseChars},
          text_until = max(${textUntil}, coalesce((
            SELECT created_at + ${IDEMPOTENCY_KEY_MILLIS} FROM idempotency_keys
            WHERE run_id = runs.id AND ${began ? 1 : 0}), 0))
        WHERE id = ${run} AND status IN (${sql.literal(list(statesBefore(ended.status)))})
        RETURNING ${subject}`
      const [row] = yield* decodeEnded(changed)
      if (row !== undefined) yield* writeEnd(database, events, row, end)
    })

  const find = SqlSchema.findOne({
    Request: RunId,
    Result: RunRow,
    execute: (run) => sql`SELECT ${columns} FROM runs WHERE id = ${run}`,
  })
  const findTurn = SqlSchema.findOne({
    Request: Schema.Struct({ session: SessionId, index: Schema.Number }),
    Result: RunRow,
    execute: ({ session, index }) =>
      sql`SELECT ${columns} FROM runs WHERE session_id = ${session} AND turn_index = ${index}`,
  })
  const findInput = SqlSchema.findOne({
    Request: RunId,
    Result: Schema.Struct({ input: Schema.parseJson(RunInput) }),
    execute: (run) => sql`SELECT input FROM run_inputs WHERE run_id = ${run}`,
  })
  const page = SqlSchema.findAll({
    Request: Schema.Struct({
      owner: Schema.UndefinedOr(TokenId),
      status: Schema.UndefinedOr(Schema.String),
      sessionId: Schema.UndefinedOr(SessionId),
      before: Schema.UndefinedOr(RunId),
      limit: Schema.Number,
    }),
    Result: RunRow,
    execute: ({ owner, status, sessionId, before, limit }) => {
      const wanted = sql.and([
        ...(owner === undefined ? [] : [sql`token_id = ${owner}`]),
        ...(status === undefined ? [] : [sql`status = ${status}`]),
        ...(sessionId === undefined ? [] : [sql`session_id = ${sessionId}`]),
        ...(before === undefined ? [] : [sql`id < ${before}`]),
        sql`true`,
      ])
      return sql`SELECT ${columns} FROM runs WHERE ${wanted} ORDER BY id DESC LIMIT ${limit}`
    },
  })

  return {
    accept: ((run: RunSpec, { at, startedAt, keepInput = false }: Parameters<RunRecords["accept"]>[1]) =>
      Effect.gen(function* () {
        const turn = yield* run.kind === "turn"
          ? acceptTurn(run, at, startedAt)
          : acceptOneShot(run, at, startedAt)
        yield* writeAcceptance(database, events, run, turn?.index ?? null, { at, startedAt })
        if (keepInput) {
          yield* sql`INSERT INTO run_inputs (run_id, input) VALUES (${run.id}, ${encodeInput(run.input)})`
        }
        return { turn }
      }).pipe(transaction("accepting a run"))) as RunRecords["accept"],

    start: (run, at) =>
      Effect.gen(function* () {
        const started = yield* sql`
          UPDATE runs SET status = 'running', started_at = max(${at}, created_at)
          WHERE id = ${run} AND status IN (${sql.literal(list(statesBefore("running")))}) RETURNING ${subject}`
        const [row] = yield* decodeEnded(started)
        if (row === undefined) return
        const { tokenId, sessionId } = row
        yield* events.append([{ type: "run.started", at, runId: run, sessionId, tokenId, data: {} }])
      }).pipe(transaction("starting a run")),

    end: (run, end) => endRun(run, end).pipe(transaction("recording a run's end")),

    loseUnfinished: (at) =>
      Effect.gen(function* () {
        const left = yield* sql<{ id: RunId; startedAt: number | null }>`
          SELECT id, started_at FROM runs WHERE ${isUnfinished}`
        const last = encodeOutcome(Exit.fail(new RunLost()))
        yield* Effect.forEach(
          left,
          ({ id, startedAt }) =>
            endRun(id, { at, ended: LOST, last, unstored: [], began: startedAt !== null }),
          { discard: true },
        )
        // No sequence number is given out twice, also after a power failure.
        if (left.length > 0) {
          yield* sql`UPDATE sqlite_sequence SET seq = seq + ${SKIPPED_AFTER_CRASH} WHERE name = 'events'`
        }
        return left.length
      }).pipe(transaction("recording the runs of a server that died as lost")),

    find: (run) => find(run).pipe(asStorageFailure("looking up a run")),
    findTurn: (session, index) => findTurn({ session, index }).pipe(asStorageFailure("looking up a turn")),
    input: (run) =>
      findInput(run).pipe(
        Effect.map((found) => Option.map(found, ({ input }) => input)),
        asStorageFailure("reading a run's input"),
      ),
    page: ({ viewer, status, sessionId }, limit, before) =>
      page({ owner: ownerSeenBy(viewer), status, sessionId, before, limit }).pipe(
        asStorageFailure("listing runs"),
      ),
  }
}
