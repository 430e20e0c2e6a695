import { Effect, Option } from "effect"
import type { SessionId } from "../../domain/Ids.ts"
import {
  SESSION_CLOSE_TYPES,
  SESSION_EVENT_TYPES,
  type SessionEvent,
  type SessionMessage,
} from "../../domain/SessionStream.ts"
import {
  SESSION_BYTES_MAX,
  SESSION_MESSAGES_MAX,
  type SessionMessageRecords,
} from "../../services/journal/Ledger.ts"
import { decodeEvents, SELECT_EVENTS } from "./EventRecords.ts"
import { takeSeqs } from "./EventWriter.ts"
import { firstWithin } from "./FirstWithin.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

/** How many messages, and how many events, one read returns at most. */
const ROWS_MAX = 128
/** How many bytes of messages one read returns. A single message may be larger. */
const BYTES_MAX = 256 * 1024

const list = (types: ReadonlyArray<string>): string => types.map((type) => `'${type}'`).join(", ")

/** The last sequence number of a page that has `page` of the rows `found`; infinite if there are no more. */
const lastSeqOf = (found: ReadonlyArray<unknown>, page: ReadonlyArray<{ readonly seq: number }>): number =>
  found.length === ROWS_MAX || page.length < found.length ? (page.at(-1)?.seq ?? 0) : Number.POSITIVE_INFINITY

/** Makes the records of what agents say about sessions while no turn is open. */
export const sessionMessageRecords = ({
  sql,
  transaction,
  noteSession,
}: LedgerDatabase): SessionMessageRecords => {
  const selectEvents = sql.literal(SELECT_EVENTS)
  const types = sql.literal(list(SESSION_EVENT_TYPES))
  const closeTypes = sql.literal(list(SESSION_CLOSE_TYPES))

  /** Removes the oldest messages of a session that are too many. */
  const trim = (session: SessionId) =>
    Effect.gen(function* () {
      const [row] = yield* sql<{ last: number | null }>`
        SELECT max(seq) AS last FROM (
          SELECT seq, sum(bytes) OVER newer AS bytes, count(*) OVER newer AS messages
          FROM session_messages WHERE session_id = ${session} WINDOW newer AS (ORDER BY seq DESC)
        ) WHERE messages > 1 AND (messages > ${SESSION_MESSAGES_MAX} OR bytes > ${SESSION_BYTES_MAX})`
      const last = row?.last ?? null
      if (last === null) return
      yield* sql`DELETE FROM session_messages WHERE session_id = ${session} AND seq <= ${last}`
      yield* sql`UPDATE sessions SET messages_trimmed_to = ${last} WHERE id = ${session}`
    })

  return {
    append: (messages) =>
      Effect.gen(function* () {
        if (messages.length === 0) return
        let seq = yield* takeSeqs(sql, messages.length)
        const stored = new Set<SessionId>()
        for (const { session, at, body } of messages) {
          const inserted = yield* sql`
            INSERT INTO session_messages (seq, session_id, at, bytes, body)
            SELECT ${seq++}, id, ${at}, ${Buffer.byteLength(body)}, ${body}
            FROM sessions WHERE id = ${session} AND status <> 'closed' RETURNING seq`
          if (inserted.length > 0) stored.add(session)
        }
        for (const session of stored) {
          yield* trim(session)
          noteSession(session)
        }
      }).pipe(transaction("storing what an agent says between turns")),

    read: (session, after) =>
      Effect.gen(function* () {
        const sizes = yield* sql<{ seq: number; bytes: number }>`
          SELECT seq, bytes FROM session_messages WHERE session_id = ${session} AND seq > ${after}
          ORDER BY seq LIMIT ${ROWS_MAX}`
        const fitting = firstWithin(sizes, BYTES_MAX)
        // Nothing comes after the close, also not what its turns, which are cancelled then, add to the log.
        const events = (yield* sql`
          ${selectEvents} WHERE e.session_id = ${session} AND e.seq > ${after} AND e.type IN (${types})
            AND e.seq <= coalesce((
              SELECT min(seq) FROM events WHERE session_id = ${session} AND type IN (${closeTypes})), e.seq)
          ORDER BY e.seq LIMIT ${ROWS_MAX}`.pipe(Effect.flatMap(decodeEvents))) as ReadonlyArray<SessionEvent>
        const upTo = Math.min(lastSeqOf(sizes, fitting), lastSeqOf(events, events))
        const last = fitting.findLast(({ seq }) => seq <= upTo)
        const messages =
          last === undefined
            ? []
            : yield* sql<SessionMessage>`
                SELECT 'message' AS kind, m.seq, m.at, m.body, t.name AS token FROM session_messages m
                LEFT JOIN sessions s ON s.id = m.session_id LEFT JOIN tokens t ON t.id = s.token_id
                WHERE m.session_id = ${session} AND m.seq > ${after} AND m.seq <= ${last.seq} ORDER BY m.seq`
        return [...messages, ...events.filter(({ seq }) => seq <= upTo)].sort(
          (one, other) => one.seq - other.seq,
        )
      }).pipe(asStorageFailure("reading a session's stream")),

    gap: (session, after) =>
      Effect.gen(function* () {
        const [row] = yield* sql<{ trimmedTo: number }>`
          SELECT messages_trimmed_to AS trimmed_to FROM sessions WHERE id = ${session}`
        if (row === undefined || row.trimmedTo <= after) return Option.none()
        const [next] = yield* sql<{ seq: number }>`
          SELECT seq FROM session_messages WHERE session_id = ${session} AND seq > ${row.trimmedTo}
          ORDER BY seq LIMIT 1`
        return Option.some({ kind: "resync" as const, seq: row.trimmedTo, oldest: next?.seq ?? null })
      }).pipe(asStorageFailure("looking for a gap")),
  }
}
