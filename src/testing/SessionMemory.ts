import { Effect, Option } from "effect"
import { PoolFull, Unauthorized } from "../domain/Failure.ts"
import type { SessionId, TokenId } from "../domain/Ids.ts"
import type { SessionOpening, SessionRecord } from "../domain/Session.ts"
import type { NewAnswer, SessionRecords } from "../services/Ledger.ts"

/** A session as the in-memory ledger keeps it. */
export interface KeptSession extends Omit<SessionRecord, "status"> {
  readonly status: "opening" | "open" | "closed"
}

const isSeen = (session: KeptSession): session is SessionRecord => session.status !== "opening"

/** The order in which sessions become due. */
const order = (one: KeptSession, other: KeptSession) =>
  quietSince(one) - quietSince(other) || (one.id < other.id ? -1 : 1)

const quietSince = ({ closedAt, lastTurnAt, createdAt }: KeptSession) => closedAt ?? lastTurnAt ?? createdAt

const reserved = ({ id, tokenId, agent, model, meta, permissionMode, at }: SessionOpening): KeptSession => ({
  id,
  tokenId,
  agent,
  model,
  meta,
  permissionMode,
  status: "opening",
  ref: null,
  answered: false,
  turnCount: 0,
  createdAt: at,
  lastTurnAt: null,
  closedAt: null,
})

/** The sessions of the in-memory ledger. */
export const sessionRecords = (
  sessions: Map<SessionId, KeptSession>,
  isRevoked: (token: TokenId) => boolean,
  hasTurn: (session: SessionId) => boolean,
  keep: (owner: TokenId, kept: NewAnswer | undefined, at: number) => void,
): SessionRecords => {
  const those = (which: (session: KeptSession) => boolean) => [...sessions.values()].filter(which)
  const mayOpen = ({ status, tokenId }: KeptSession) => status === "opening" && !isRevoked(tokenId)
  const isLiving = ({ status }: KeptSession) => status !== "closed"
  const isIdle = (session: KeptSession, since: number) =>
    session.status === "open" && quietSince(session) < since && !hasTurn(session.id)
  const due = (which: (session: KeptSession) => boolean, after: SessionRecord | undefined) =>
    those(which)
      .filter(isSeen)
      .filter(({ id }) => id !== after?.id)
      .filter((session) => after === undefined || order(after, session) < 0)
      .sort(order)
  /** Changes a session that is so; false when it is not. */
  const change = (
    id: SessionId,
    isSo: (session: KeptSession) => boolean,
    to: Pick<Partial<KeptSession>, "status" | "ref" | "answered" | "closedAt">,
  ) => {
    const session = sessions.get(id)
    if (session === undefined || !isSo(session)) return false
    sessions.set(id, { ...session, ...to })
    return true
  }

  return {
    reserve: (session, limit) =>
      Effect.gen(function* () {
        if (isRevoked(session.tokenId)) return yield* new Unauthorized()
        if (those(isLiving).length >= limit) return yield* new PoolFull({ limit })
        sessions.set(session.id, reserved(session))
      }),
    activate: (id, ref, at, kept) =>
      Effect.suspend(() => {
        const owner = sessions.get(id)?.tokenId
        if (owner === undefined || !change(id, mayOpen, { status: "open", ref })) return new Unauthorized()
        return Effect.sync(() => keep(owner, kept, at))
      }),
    abandon: (id) =>
      Effect.sync(() => {
        if (sessions.get(id)?.status === "opening") sessions.delete(id)
      }),
    abandonAll: Effect.sync(() =>
      those(({ id, status }) => status === "opening" && sessions.delete(id)).map(({ id }) => id),
    ),
    find: (id) => Effect.sync(() => Option.filter(Option.fromNullable(sessions.get(id)), isSeen)),
    list: (owner, { includeClosed }) =>
      Effect.sync(() =>
        those(({ tokenId, status }) => tokenId === owner && (includeClosed || status === "open"))
          .filter(isSeen)
          .toReversed()
          .sort((one, other) => other.createdAt - one.createdAt),
      ),
    refer: (id, ref) => Effect.sync(() => void change(id, ({ status }) => status === "open", { ref })),
    answered: (id) =>
      Effect.sync(() => void change(id, ({ status }) => status === "open", { answered: true })),
    close: (id, at) =>
      Effect.sync(() => change(id, ({ status }) => status === "open", { status: "closed", closedAt: at })),
    closeIdle: (id, idleSince, at) =>
      Effect.sync(() =>
        change(id, (session) => isIdle(session, idleSince), { status: "closed", closedAt: at }),
      ),
    idle: (idleSince, after) => Effect.sync(() => due((session) => isIdle(session, idleSince), after)),
    closedBy: (at, after) =>
      Effect.sync(() => due((session) => session.status === "closed" && quietSince(session) <= at, after)),
    remove: (id) => Effect.sync(() => sessions.get(id)?.status === "closed" && sessions.delete(id)),
    living: (ids) => {
      const asked = new Set(ids)
      return Effect.sync(() =>
        those((session) => isLiving(session) && asked.has(session.id)).map(({ id }) => id),
      )
    },
    countOpen: Effect.sync(() => those(isLiving).length),
  }
}
