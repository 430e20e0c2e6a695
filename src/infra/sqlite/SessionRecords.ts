import { SqlSchema } from "@effect/sql"
import { Effect, Schema } from "effect"
import type { NewEvent } from "../../domain/Event.ts"
import { PoolFull, Unauthorized } from "../../domain/Failure.ts"
import { SessionId, TokenId } from "../../domain/Ids.ts"
import { type SessionMeta, OpenedSession, SessionRecord } from "../../domain/Session.ts"
import type { SessionRecords } from "../../services/journal/Ledger.ts"
import { Bit, columnsOf } from "./Columns.ts"
import type { EventWriter } from "./EventWriter.ts"
import { storeAnswer } from "./IdempotencyKeyRecords.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"
import { isInForce } from "./TokenRecords.ts"

/** How many due sessions one query returns. */
const DUE_MAX = 250

/** It was checked when it was stored. `Schema.Record` would lose a key `__proto__`. */
const Meta = Schema.declare((value): value is SessionMeta => typeof value === "object" && value !== null)

/** The row of a session. */
export const SessionRow = Schema.Struct({
  ...SessionRecord.fields,
  meta: Schema.NullOr(Schema.parseJson(Meta)),
  answered: Bit,
})

const encodeOpened = Schema.encodeSync(OpenedSession)

/** Makes the records of sessions. */
export const sessionRecords = (database: LedgerDatabase, events: EventWriter): SessionRecords => {
  const { sql, transaction } = database
  const columns = sql.literal(columnsOf(SessionRow))
  // By itself, SQLite uses the index of all turns that the session ever had.
  const hasNoTurn = sql.literal(
    `NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_unfinished_of_session
      WHERE session_id = sessions.id AND status IN ('queued', 'running'))`,
  )
  const comesAfter = (session: SessionRecord | undefined) =>
    session === undefined
      ? sql.literal("true")
      : sql`(quiet_since, id) > (${session.closedAt ?? session.lastTurnAt ?? session.createdAt}, ${session.id})`

  /** Appends the event of a change, if the statement changed a row. Returns whether it changed one. */
  const recorded = (
    event: Pick<
      Extract<NewEvent, { type: "session.close" | "session.sweep_close" | "session.hard_delete" }>,
      "type" | "at" | "data"
    >,
    session: SessionId,
    [row]: ReadonlyArray<{ readonly tokenId: TokenId }>,
  ) =>
    row === undefined
      ? Effect.succeed(false)
      : Effect.as(
          events.append([{ ...event, runId: null, sessionId: session, tokenId: row.tokenId } as NewEvent]),
          true,
        )

  /** Removes the messages of a session that is gone. */
  const dropMessages = (session: SessionId) =>
    Effect.asVoid(sql`
      DELETE FROM session_messages
      WHERE session_id = ${session} AND NOT EXISTS (SELECT 1 FROM sessions WHERE id = ${session})`)

  const find = SqlSchema.findOne({
    Request: SessionId,
    Result: SessionRow,
    execute: (session) => sql`SELECT ${columns} FROM sessions WHERE id = ${session} AND status <> 'opening'`,
  })
  const list = SqlSchema.findAll({
    Request: Schema.Struct({ owner: TokenId, includeClosed: Schema.Boolean }),
    Result: SessionRow,
    execute: ({ owner, includeClosed }) => sql`
      SELECT ${columns} FROM sessions
      WHERE token_id = ${owner} AND status IN ('open', ${includeClosed ? "closed" : "open"})
      ORDER BY created_at DESC, rowid DESC`,
  })
  const Due = Schema.Struct({
    since: Schema.Number,
    after: Schema.UndefinedOr(Schema.typeSchema(SessionRecord)),
  })
  const idle = SqlSchema.findAll({
    Request: Due,
    Result: SessionRow,
    execute: ({ since, after }) => sql`
      SELECT ${columns} FROM sessions
      WHERE status = 'open' AND quiet_since < ${since} AND ${comesAfter(after)} AND ${hasNoTurn}
      ORDER BY quiet_since, id LIMIT ${DUE_MAX}`,
  })
  const closedUntil = SqlSchema.findAll({
    Request: Due,
    Result: SessionRow,
    execute: ({ since, after }) => sql`
      SELECT ${columns} FROM sessions
      WHERE status = 'closed' AND quiet_since <= ${since} AND ${comesAfter(after)}
      ORDER BY quiet_since, id LIMIT ${DUE_MAX}`,
  })

  return {
    reserve: (session, limit) =>
      Effect.gen(function* () {
        // One statement checks the token, counts the places and takes one. Two statements could exceed the limit.
        const reserved = yield* sql`
          INSERT INTO sessions
            (id, token_id, agent, model, meta, permission_mode, status, created_at, request_id, address)
          SELECT ${session.id}, id, ${session.agent}, ${session.model},
            ${session.meta === null ? null : JSON.stringify(session.meta)}, ${session.permissionMode}, 'opening',
            ${session.at}, ${session.origin.requestId}, ${session.origin.address}
          FROM tokens
          WHERE id = ${session.tokenId} AND revoked_at IS NULL
            AND (SELECT count(*) FROM sessions WHERE status IN ('opening', 'open')) < ${limit}
          RETURNING id`
        if (reserved.length > 0) return
        return yield* (yield* isInForce(sql, session.tokenId)) ? new PoolFull({ limit }) : new Unauthorized()
      }).pipe(transaction("taking a place for a session")),

    activate: (session, ref) =>
      Effect.gen(function* () {
        const { id, tokenId, at, agent, model, meta, permissionMode, origin } = session
        const opened = yield* sql`
          UPDATE sessions SET status = 'open', ref = ${ref}
          WHERE id = ${id} AND status = 'opening'
            AND EXISTS (SELECT 1 FROM tokens WHERE tokens.id = token_id AND revoked_at IS NULL)
          RETURNING id`
        if (opened.length === 0) return yield* new Unauthorized()
        const { requestId: request_id, address } = origin
        const data = { agent, model, permission_mode: permissionMode, request_id, address }
        yield* events.append([{ type: "session.create", at, runId: null, sessionId: id, tokenId, data }])
        const answer = encodeOpened({ id, agent, model, meta, createdAt: at })
        yield* storeAnswer(database, origin, answer, { owner: tokenId, at })
      }).pipe(transaction("opening a session")),

    abandon: (session) =>
      sql`DELETE FROM sessions WHERE id = ${session} AND status = 'opening'`.pipe(
        Effect.zipRight(dropMessages(session)),
        transaction("giving up a session's place"),
      ),

    abandonAll: sql<{ id: SessionId }>`DELETE FROM sessions WHERE status = 'opening' RETURNING id`.pipe(
      Effect.map((rows) => rows.map(({ id }) => id)),
      Effect.tap((abandoned) => Effect.forEach(abandoned, dropMessages, { discard: true })),
      transaction("giving up the places of a server that died"),
    ),

    find: (session) => find(session).pipe(asStorageFailure("looking up a session")),

    list: (owner, { includeClosed }) =>
      list({ owner, includeClosed }).pipe(asStorageFailure("listing sessions")),

    setRef: (session, ref) =>
      Effect.asVoid(sql`UPDATE sessions SET ref = ${ref} WHERE id = ${session} AND status = 'open'`).pipe(
        asStorageFailure("noting what an agent calls a session"),
      ),

    answered: (session) =>
      Effect.asVoid(sql`UPDATE sessions SET answered = 1 WHERE id = ${session} AND status = 'open'`).pipe(
        asStorageFailure("noting that an agent has answered"),
      ),

    setAgentCost: (session, total, turn) =>
      Effect.gen(function* () {
        yield* sql`UPDATE sessions SET agent_cost_usd = ${total} WHERE id = ${session}`
        if (turn === null) return
        yield* sql`UPDATE runs SET cost_usd = ${turn.costUsd} WHERE id = ${turn.run} AND cost_usd IS NULL`
      }).pipe(transaction("noting what a session cost")),

    close: (session, at, origin) =>
      sql<{ tokenId: TokenId }>`
        UPDATE sessions SET status = 'closed', closed_at = ${at}
        WHERE id = ${session} AND status = 'open' RETURNING token_id`.pipe(
        Effect.flatMap((rows) => {
          const data = origin === null ? {} : { request_id: origin.requestId, address: origin.address }
          return recorded({ type: "session.close", at, data }, session, rows)
        }),
        transaction("closing a session"),
      ),

    closeIdle: (session, idleSince, at) =>
      sql<{ tokenId: TokenId }>`
        UPDATE sessions SET status = 'closed', closed_at = ${at}
        WHERE id = ${session} AND status = 'open' AND quiet_since < ${idleSince} AND ${hasNoTurn}
        RETURNING token_id`.pipe(
        Effect.flatMap((rows) => recorded({ type: "session.sweep_close", at, data: {} }, session, rows)),
        transaction("closing an idle session"),
      ),

    idle: (since, after) => idle({ since, after }).pipe(asStorageFailure("looking for idle sessions")),

    closedUntil: (since, after) =>
      closedUntil({ since, after }).pipe(asStorageFailure("looking for sessions to delete")),

    remove: (session, at) =>
      sql<{ tokenId: TokenId }>`
        DELETE FROM sessions WHERE id = ${session} AND status = 'closed' RETURNING token_id`.pipe(
        Effect.zipLeft(dropMessages(session)),
        Effect.flatMap((rows) => recorded({ type: "session.hard_delete", at, data: {} }, session, rows)),
        transaction("deleting a session"),
      ),

    liveAmong: (sessions) =>
      sql<{ id: SessionId }>`
        SELECT id FROM sessions
        WHERE id IN (SELECT value FROM json_each(${JSON.stringify(sessions)})) AND status <> 'closed'`.pipe(
        Effect.map((rows) => rows.map(({ id }) => id)),
        asStorageFailure("looking which sessions are open"),
      ),

    countOpen: sql<{ open: number }>`
      SELECT count(*) AS open FROM sessions WHERE status IN ('opening', 'open')`.pipe(
      Effect.map(([row]) => row?.open ?? 0),
      asStorageFailure("counting open sessions"),
    ),
  }
}
