import type { OpenedSession, Session } from "../../domain/Session.ts"
import { toSeconds, toSecondsOrNull } from "../groups/Wire.ts"

/** Sessions as clients see them, with the keys in the order of v0.2. */

const identityOf = ({ id, agent, model, meta }: OpenedSession) => ({ session_id: id, agent, model, meta })

/** The answer to the request that opened a session. */
export const openedSessionAnswer = (session: OpenedSession) => ({
  ok: true as const,
  ...identityOf(session),
  created_at: toSeconds(session.createdAt),
})

/** A session and its state. */
export const sessionAnswer = (session: Session) => ({
  ...identityOf(session),
  status: session.status,
  turn_count: session.turnCount,
  created_at: toSeconds(session.createdAt),
  last_turn_at: toSecondsOrNull(session.lastTurnAt),
  closed_at: toSecondsOrNull(session.closedAt),
})
