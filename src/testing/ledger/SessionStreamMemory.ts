import { Effect, Option } from "effect"
import { isClose, isSessionEventType, type SessionEvent } from "../../domain/SessionStream.ts"
import type { SessionMessageRecords } from "../../services/journal/Ledger.ts"
import type { LedgerMemory } from "./LedgerMemory.ts"

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
