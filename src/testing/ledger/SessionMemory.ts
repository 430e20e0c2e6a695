import { Effect, Option, Schema } from "effect"
import { PoolFull, Unauthorized } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { OpenedSession, type SessionOpening, type SessionRecord } from "../../domain/Session.ts"
import type { SessionRecords } from "../../services/journal/Ledger.ts"
import type { AddedEvent } from "./EventMemory.ts"
import { type SessionInMemory, type LedgerMemory, originData } from "./LedgerMemory.ts"

/** Returns the record of a session; none while it is opening. */
const visible = (session: SessionInMemory): Option.Option<SessionRecord> => {
  const { origin: _, status, ...rest } = session
  return status === "opening" ? Option.none() : Option.some({ ...rest, status })
}

/** Orders sessions by the time since which they are quiet. */
const byQuietTime = (one: SessionRecord, other: SessionRecord) =>
  quietSince(one) - quietSince(other) || (one.id < other.id ? -1 : 1)

const quietSince = ({
  closedAt,
  lastTurnAt,
  createdAt,
}: Pick<SessionInMemory, "closedAt" | "lastTurnAt" | "createdAt">) => closedAt ?? lastTurnAt ?? createdAt

/** Makes the record of a session that is opening. */
const newSession = ({ at, ...session }: SessionOpening): SessionInMemory => ({
  ...session,
  status: "opening",
  ref: null,
  answered: false,
  agentCostUsd: null,
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
  const sessionsThat = (matches: (session: SessionInMemory) => boolean) =>
    [...sessions.values()].filter(matches)
  const hasTurn = (id: SessionId) =>
    [...runs.values()].some(({ session, end }) => session === id && end === undefined)
  const mayOpen = ({ status, tokenId }: SessionInMemory) => status === "opening" && !memory.isRevoked(tokenId)
  const isIdle = (session: SessionInMemory, since: number) =>
    isOpen(session) && quietSince(session) < since && !hasTurn(session.id)
  /** Returns sessions that match, the longest quiet first, after `after`. */
  const due = (matches: (session: SessionInMemory) => boolean, after: SessionRecord | undefined) =>
    sessionsThat(matches)
      .flatMap((session) => Option.toArray(visible(session)))
      .filter(
        (session) => after === undefined || (session.id !== after.id && byQuietTime(after, session) < 0),
      )
      .sort(byQuietTime)
  /** Changes a session that matches. Returns the session before the change; undefined if it does not match. */
  const change = (
    id: SessionId,
    matches: (session: SessionInMemory) => boolean,
    to: Pick<Partial<SessionInMemory>, "status" | "ref" | "answered" | "closedAt">,
  ): SessionInMemory | undefined => {
    const session = sessions.get(id)
    if (session === undefined || !matches(session)) return undefined
    sessions.set(id, { ...session, ...to })
    return session
  }
  /** Adds the event of a change, if a session was changed. Returns whether one was. */
  const recordChange = (
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
        if (sessionsThat(isLiving).length >= limit) return yield* new PoolFull({ limit })
        sessions.set(session.id, newSession(session))
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
        if (sessions.get(id)?.status !== "opening") return
        sessions.delete(id)
        memory.sessionMessages.forget(id)
      }),
    abandonAll: Effect.sync(() => {
      const abandoned = sessionsThat(({ status }) => status === "opening").map(({ id }) => id)
      for (const id of abandoned) {
        sessions.delete(id)
        memory.sessionMessages.forget(id)
      }
      return abandoned
    }),
    find: (id) => Effect.sync(() => Option.flatMap(Option.fromNullable(sessions.get(id)), visible)),
    list: (owner, { includeClosed }) =>
      Effect.sync(() =>
        sessionsThat(({ tokenId, status }) => tokenId === owner && (includeClosed || status === "open"))
          .flatMap((session) => Option.toArray(visible(session)))
          .toReversed()
          .sort((one, other) => other.createdAt - one.createdAt),
      ),
    setRef: (id, ref) => Effect.sync(() => void change(id, isOpen, { ref })),
    answered: (id) => Effect.sync(() => void change(id, isOpen, { answered: true })),
    setAgentCost: (id, total, turn) =>
      memory.transaction(() => {
        const session = sessions.get(id)
        if (session !== undefined) sessions.set(id, { ...session, agentCostUsd: total })
        const run = turn === null ? undefined : runs.get(turn.run)
        if (run !== undefined && turn !== null) {
          runs.set(run.id, { ...run, costUsd: run.end?.costUsd ?? run.costUsd ?? turn.costUsd })
        }
      }),
    close: (id, at, origin) =>
      Effect.sync(() => {
        const closed = change(id, isOpen, { status: "closed", closedAt: at })
        return recordChange("session.close", closed, at, origin === null ? {} : originData(origin))
      }),
    closeIdle: (id, idleSince, at) =>
      Effect.sync(() => {
        const to = { status: "closed", closedAt: at } as const
        const closed = change(id, (session) => isIdle(session, idleSince), to)
        return recordChange("session.sweep_close", closed, at)
      }),
    idle: (idleSince, after) => Effect.sync(() => due((session) => isIdle(session, idleSince), after)),
    closedUntil: (at, after) =>
      Effect.sync(() => due((session) => session.status === "closed" && quietSince(session) <= at, after)),
    remove: (id, at) =>
      Effect.sync(() => {
        const session = sessions.get(id)
        if (session?.status !== "closed") return false
        sessions.delete(id)
        memory.sessionMessages.forget(id)
        return recordChange("session.hard_delete", session, at)
      }),
    liveAmong: (ids) => {
      const asked = new Set(ids)
      return Effect.sync(() =>
        sessionsThat((session) => isLiving(session) && asked.has(session.id)).map(({ id }) => id),
      )
    },
    countOpen: Effect.sync(() => sessionsThat(isLiving).length),
  }
}
