import { Effect, Option, Schema } from "effect"
import { PoolFull, Unauthorized } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { OpenedSession, type SessionOpening, type SessionRecord } from "../../domain/Session.ts"
import type { SessionRecords } from "../../services/journal/Ledger.ts"
import type { AddedEvent } from "./EventMemory.ts"
import { type SessionInMemory, type LedgerMemory, originData } from "./LedgerMemory.ts"

/** Returns a session as the ledger shows it; none if it is opening. */
const seen = (session: SessionInMemory): Option.Option<SessionRecord> => {
  const { origin: _, status, ...rest } = session
  return status === "opening" ? Option.none() : Option.some({ ...rest, status })
}

/** Compares sessions in the order in which they become due. */
const order = (one: SessionRecord, other: SessionRecord) =>
  quietSince(one) - quietSince(other) || (one.id < other.id ? -1 : 1)

const quietSince = ({
  closedAt,
  lastTurnAt,
  createdAt,
}: Pick<SessionInMemory, "closedAt" | "lastTurnAt" | "createdAt">) => closedAt ?? lastTurnAt ?? createdAt

const reserved = ({ at, ...session }: SessionOpening): SessionInMemory => ({
  ...session,
  status: "opening",
  ref: null,
  answered: false,
  turnCount: 0,
  createdAt: at,
  lastTurnAt: null,
  closedAt: null,
})

const isOpen = ({ status }: SessionInMemory): boolean => status === "open"
const isLiving = ({ status }: SessionInMemory): boolean => status !== "closed"

const encodeOpened = Schema.encodeSync(OpenedSession)

/** The sessions of the ledger in memory. */
export const sessionRecords = (memory: LedgerMemory): SessionRecords => {
  const { sessions, runs, log } = memory
  const those = (which: (session: SessionInMemory) => boolean) => [...sessions.values()].filter(which)
  const hasTurn = (id: SessionId) =>
    [...runs.values()].some(({ session, end }) => session === id && end === undefined)
  const mayOpen = ({ status, tokenId }: SessionInMemory) => status === "opening" && !memory.isRevoked(tokenId)
  const isIdle = (session: SessionInMemory, since: number) =>
    isOpen(session) && quietSince(session) < since && !hasTurn(session.id)
  const due = (which: (session: SessionInMemory) => boolean, after: SessionRecord | undefined) =>
    those(which)
      .flatMap((session) => Option.toArray(seen(session)))
      .filter((session) => after === undefined || (session.id !== after.id && order(after, session) < 0))
      .sort(order)
  /** Changes a session if it is as required. Returns what it was before. */
  const change = (
    id: SessionId,
    isSo: (session: SessionInMemory) => boolean,
    to: Pick<Partial<SessionInMemory>, "status" | "ref" | "answered" | "closedAt">,
  ): SessionInMemory | undefined => {
    const session = sessions.get(id)
    if (session === undefined || !isSo(session)) return undefined
    sessions.set(id, { ...session, ...to })
    return session
  }
  /** Adds the event of a change, if there was one. Returns whether there was. */
  const recorded = (
    type: "session.close" | "session.sweep_close" | "session.hard_delete",
    session: SessionInMemory | undefined,
    at: number,
    data = {},
  ): boolean => {
    if (session !== undefined)
      log.add({ type, at, sessionId: session.id, tokenId: session.tokenId, data } as AddedEvent)
    return session !== undefined
  }

  return {
    reserve: (session, limit) =>
      Effect.gen(function* () {
        if (memory.isRevoked(session.tokenId)) return yield* new Unauthorized()
        if (those(isLiving).length >= limit) return yield* new PoolFull({ limit })
        sessions.set(session.id, reserved(session))
      }),
    activate: ({ id, tokenId, agent, model, meta, permissionMode, origin, at }, ref) =>
      Effect.gen(function* () {
        yield* memory.requireFreeKey(tokenId, origin, at, "opening a session")
        const opened = change(id, mayOpen, { status: "open", ref })
        if (opened === undefined) return yield* new Unauthorized()
        const data = { agent, model, permission_mode: permissionMode, ...originData(origin) }
        log.add({ type: "session.create", at, sessionId: id, tokenId, data })
        const answer = encodeOpened({ id, agent, model, meta, createdAt: at })
        memory.storeAnswer(tokenId, origin, answer, at)
      }),
    abandon: (id) =>
      Effect.sync(() => {
        if (sessions.get(id)?.status === "opening") sessions.delete(id)
      }),
    abandonAll: Effect.sync(() =>
      those(({ id, status }) => status === "opening" && sessions.delete(id)).map(({ id }) => id),
    ),
    find: (id) => Effect.sync(() => Option.flatMap(Option.fromNullable(sessions.get(id)), seen)),
    list: (owner, { includeClosed }) =>
      Effect.sync(() =>
        those(({ tokenId, status }) => tokenId === owner && (includeClosed || status === "open"))
          .flatMap((session) => Option.toArray(seen(session)))
          .toReversed()
          .sort((one, other) => other.createdAt - one.createdAt),
      ),
    refer: (id, ref) => Effect.sync(() => void change(id, isOpen, { ref })),
    answered: (id) => Effect.sync(() => void change(id, isOpen, { answered: true })),
    close: (id, at, origin) =>
      Effect.sync(() => {
        const closed = change(id, isOpen, { status: "closed", closedAt: at })
        return recorded("session.close", closed, at, origin === null ? {} : originData(origin))
      }),
    closeIdle: (id, idleSince, at) =>
      Effect.sync(() => {
        const to = { status: "closed", closedAt: at } as const
        const closed = change(id, (session) => isIdle(session, idleSince), to)
        return recorded("session.sweep_close", closed, at)
      }),
    idle: (idleSince, after) => Effect.sync(() => due((session) => isIdle(session, idleSince), after)),
    closedBy: (at, after) =>
      Effect.sync(() => due((session) => session.status === "closed" && quietSince(session) <= at, after)),
    remove: (id, at) =>
      Effect.sync(() => {
        const session = sessions.get(id)
        if (session?.status !== "closed") return false
        sessions.delete(id)
        return recorded("session.hard_delete", session, at)
      }),
    living: (ids) => {
      const asked = new Set(ids)
      return Effect.sync(() =>
        those((session) => isLiving(session) && asked.has(session.id)).map(({ id }) => id),
      )
    },
    countOpen: Effect.sync(() => those(isLiving).length),
  }
}
