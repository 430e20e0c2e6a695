import { Effect, Option } from "effect"
import type { SessionId } from "../../domain/Ids.ts"
import { isClose, isSessionEventType, type SessionEvent } from "../../domain/SessionStream.ts"
import {
  type NewSessionMessage,
  SESSION_BYTES_MAX,
  SESSION_MESSAGES_MAX,
  type SessionMessageRecords,
} from "../../services/journal/Ledger.ts"
import type { Changes, Sequence } from "./EventMemory.ts"
import type { LedgerMemory } from "./LedgerMemory.ts"
import { bytesOf } from "./StreamMemory.ts"

type Row = NewSessionMessage & { readonly seq: number }

/** What agents say about sessions while no turn is open, in memory. */
export class SessionMessageMemory {
  readonly #sequence: Sequence
  readonly #changes: Changes
  readonly #trimmedTo = new Map<SessionId, number>()
  #rows: ReadonlyArray<Row> = []

  constructor(sequence: Sequence, changes: Changes) {
    this.#sequence = sequence
    this.#changes = changes
  }

  /** All messages, oldest first. */
  get rows(): ReadonlyArray<Row> {
    return this.#rows
  }

  readonly of = (session: SessionId): ReadonlyArray<Row> =>
    this.#rows.filter((row) => row.session === session)

  /** The sequence number up to which messages of the session are removed. */
  readonly trimmedTo = (session: SessionId): number => this.#trimmedTo.get(session) ?? 0

  readonly add = (message: NewSessionMessage): void => {
    this.#rows = [...this.#rows, { ...message, seq: this.#sequence.next() }]
    const own = this.of(message.session)
    const keeps = (from: number) =>
      own.length - from <= SESSION_MESSAGES_MAX && bytesOf(own.slice(from)) <= SESSION_BYTES_MAX
    let from = 0
    while (from < own.length - 1 && !keeps(from)) from += 1
    this.remove(own.slice(0, from))
    this.#changes.noteSession(message.session)
  }

  /** Removes messages, which are the oldest of their sessions. */
  readonly remove = (gone: ReadonlyArray<Row>): void => {
    const seqs = new Set(gone.map(({ seq }) => seq))
    for (const { session, seq } of gone) this.#trimmedTo.set(session, seq)
    this.#rows = this.#rows.filter(({ seq }) => !seqs.has(seq))
  }

  /** Removes all of a session that is deleted. */
  readonly forget = (session: SessionId): void => {
    this.#rows = this.#rows.filter((row) => row.session !== session)
    this.#trimmedTo.delete(session)
  }
}

/** The streams of sessions of the ledger in memory. */
export const sessionMessageRecords = (memory: LedgerMemory): SessionMessageRecords => {
  const { sessionMessages, sessions, log } = memory
  return {
    append: (messages) =>
      memory.transaction(() => {
        for (const message of messages) {
          const status = sessions.get(message.session)?.status
          if (status === "opening" || status === "open") sessionMessages.add(message)
        }
      }),
    read: (session, after) =>
      Effect.sync(() => {
        const owner = sessions.get(session)?.tokenId
        const token = owner === undefined ? null : memory.nameOf(owner)
        const messages = sessionMessages
          .of(session)
          .map(({ seq, at, body }) => ({ kind: "message" as const, seq, at, body, token }))
        const events = log.all.filter(
          (event): event is SessionEvent => event.sessionId === session && isSessionEventType(event.type),
        )
        const close = events.find(isClose)?.seq ?? Number.POSITIVE_INFINITY
        return [...messages, ...events.filter(({ seq }) => seq <= close)]
          .filter(({ seq }) => seq > after)
          .sort((one, other) => one.seq - other.seq)
      }),
    gap: (session, after) =>
      Effect.sync(() => {
        const seq = sessionMessages.trimmedTo(session)
        if (seq <= after) return Option.none()
        const next = sessionMessages.of(session).find((row) => row.seq > seq)
        return Option.some({ kind: "resync" as const, seq, oldest: next?.seq ?? null })
      }),
  }
}
