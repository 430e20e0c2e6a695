import type { OpenedSession, Session } from "../../domain/Session.ts"
import { toSeconds, toSecondsOrNull } from "../groups/Wire.ts"

/** How a session is shown, in v0.2's order. */

const identityOf = ({ id, agent, model, meta }: OpenedSession) => ({ session_id: id, agent, model, meta })

export const openedOf = (session: OpenedSession) => ({
  ok: true as const,
  ...identityOf(session),
  created_at: toSeconds(session.createdAt),
})

export const stateOf = (session: Session) => ({
  ...identityOf(session),
  status: session.status,
  turn_count: session.turnCount,
  created_at: toSeconds(session.createdAt),
  last_turn_at: toSecondsOrNull(session.lastTurnAt),
  closed_at: toSecondsOrNull(session.closedAt),
})
