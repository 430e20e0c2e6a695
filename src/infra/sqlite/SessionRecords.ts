import type { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import { PoolFull, Unauthorized } from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { SessionRecords } from "../../services/journal/Ledger.ts"
import { keepAnswer } from "./KeyRecords.ts"
import { type EventWriter, isInForce, originData, storing } from "./Rows.ts"
import { SESSION_COLUMNS, toSessions } from "./SessionRows.ts"

/** Sessions that are read at a time. */
const DUE_MAX = 250

interface Opened {
  readonly token_id: TokenId
  readonly agent: string
  readonly model: string | null
  readonly permission_mode: string
  readonly request_id: string
  readonly address: string
}

export const sessionRecords = (sql: SqlClient.SqlClient, events: EventWriter): SessionRecords => {
  const columns = sql.literal(SESSION_COLUMNS)
  // Left to itself, SQLite takes the index of all turns that the session ever had.
  const hasNoTurn = sql.literal(
    `NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_unfinished_of_session
      WHERE session_id = sessions.id AND status IN ('queued', 'running'))`,
  )
  const comesAfter = (session: SessionRecord | undefined) =>
    session === undefined
      ? sql.literal("true")
      : sql`(quiet_since, id) > (${session.closedAt ?? session.lastTurnAt ?? session.createdAt}, ${session.id})`

  /** Tells that a session is no longer what it was, if the statement found it so. */
  const left = (
    type: "session.close" | "session.sweep_close" | "session.hard_delete",
    session: SessionId,
    at: number,
    [row]: ReadonlyArray<{ readonly token_id: string }>,
    data = {},
  ) =>
    row === undefined
      ? Effect.succeed(false)
      : Effect.as(events.append({ type, at, sessionId: session, tokenId: row.token_id, data }), true)

  return {
    reserve: (session, limit) =>
      Effect.gen(function* () {
        // One statement counts the places, looks at the token and takes the place.
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
      }).pipe(sql.withTransaction, storing("taking a place for a session")),

    activate: (session, ref, at, kept) =>
      Effect.gen(function* () {
        const [opened] = yield* sql<Opened>`
          UPDATE sessions SET status = 'open', ref = ${ref}
          WHERE id = ${session} AND status = 'opening'
            AND EXISTS (SELECT 1 FROM tokens WHERE tokens.id = token_id AND revoked_at IS NULL)
          RETURNING token_id, agent, model, permission_mode, request_id, address`
        if (opened === undefined) return yield* new Unauthorized()
        const { token_id, ...data } = opened
        yield* events.append({ type: "session.create", at, sessionId: session, tokenId: token_id, data })
        if (kept !== undefined) yield* keepAnswer(sql, { ...kept, owner: token_id, at })
      }).pipe(sql.withTransaction, storing("opening a session")),

    abandon: (session) =>
      Effect.asVoid(sql`DELETE FROM sessions WHERE id = ${session} AND status = 'opening'`).pipe(
        storing("giving up a session's place"),
      ),

    abandonAll: sql<{ id: SessionId }>`DELETE FROM sessions WHERE status = 'opening' RETURNING id`.pipe(
      storing("giving up the places of a server that died"),
      Effect.map((rows) => rows.map(({ id }) => id)),
    ),

    find: (session) =>
      sql`SELECT ${columns} FROM sessions WHERE id = ${session} AND status <> 'opening'`.pipe(
        storing("looking up a session"),
        Effect.flatMap(toSessions),
        Effect.map(([found]) => Option.fromNullable(found)),
      ),

    list: (owner, { includeClosed }) =>
      sql`
        SELECT ${columns} FROM sessions
        WHERE token_id = ${owner} AND status IN ('open', ${includeClosed ? "closed" : "open"})
        ORDER BY created_at DESC, rowid DESC`.pipe(storing("listing sessions"), Effect.flatMap(toSessions)),

    refer: (session, ref) =>
      Effect.asVoid(sql`UPDATE sessions SET ref = ${ref} WHERE id = ${session} AND status = 'open'`).pipe(
        storing("noting what an agent calls a session"),
      ),

    answered: (session) =>
      Effect.asVoid(sql`UPDATE sessions SET answered = 1 WHERE id = ${session} AND status = 'open'`).pipe(
        storing("noting that an agent has answered"),
      ),

    close: (session, at, origin) =>
      sql<{ token_id: string }>`
        UPDATE sessions SET status = 'closed', closed_at = ${at}
        WHERE id = ${session} AND status = 'open' RETURNING token_id`.pipe(
        Effect.flatMap((rows) =>
          left("session.close", session, at, rows, origin === null ? {} : originData(origin)),
        ),
        sql.withTransaction,
        storing("closing a session"),
      ),

    closeIdle: (session, idleSince, at) =>
      sql<{ token_id: string }>`
        UPDATE sessions SET status = 'closed', closed_at = ${at}
        WHERE id = ${session} AND status = 'open' AND quiet_since < ${idleSince} AND ${hasNoTurn}
        RETURNING token_id`.pipe(
        Effect.flatMap((rows) => left("session.sweep_close", session, at, rows)),
        sql.withTransaction,
        storing("closing an idle session"),
      ),

    idle: (idleSince, after) =>
      sql`
        SELECT ${columns} FROM sessions
        WHERE status = 'open' AND quiet_since < ${idleSince} AND ${comesAfter(after)} AND ${hasNoTurn}
        ORDER BY quiet_since, id LIMIT ${DUE_MAX}`.pipe(
        storing("looking for idle sessions"),
        Effect.flatMap(toSessions),
      ),

    closedBy: (at, after) =>
      sql`
        SELECT ${columns} FROM sessions
        WHERE status = 'closed' AND quiet_since <= ${at} AND ${comesAfter(after)}
        ORDER BY quiet_since, id LIMIT ${DUE_MAX}`.pipe(
        storing("looking for sessions to delete"),
        Effect.flatMap(toSessions),
      ),

    remove: (session, at) =>
      sql<{ token_id: string }>`
        DELETE FROM sessions WHERE id = ${session} AND status = 'closed' RETURNING token_id`.pipe(
        Effect.flatMap((rows) => left("session.hard_delete", session, at, rows)),
        sql.withTransaction,
        storing("deleting a session"),
      ),

    living: (sessions) =>
      sql<{ id: SessionId }>`
        SELECT id FROM sessions
        WHERE id IN (SELECT value FROM json_each(${JSON.stringify(sessions)})) AND status <> 'closed'`.pipe(
        storing("looking which sessions are open"),
        Effect.map((rows) => rows.map(({ id }) => id)),
      ),

    countOpen: sql<{ open: number }>`
      SELECT count(*) AS open FROM sessions WHERE status IN ('opening', 'open')`.pipe(
      storing("counting open sessions"),
      Effect.map(([row]) => row?.open ?? 0),
    ),
  }
}
