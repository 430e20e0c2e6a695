import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { TurnMessages } from "./TurnMessages.ts"

/** A turn that an agent's process works on. */
export interface ProcessTurn {
  readonly prompt: string
  readonly messages: TurnMessages
  /** The id of our prompt request; the agent's result has the same id. Undefined until the prompt is sent. */
  requestId: unknown
  /** When the agent was first asked to end the turn, in monotonic milliseconds. */
  cancelRequestedAt: number | undefined
}

/** A session that an agent's process has loaded. */
export interface LoadedSession {
  readonly session: AgentSession
  turn: ProcessTurn | undefined
  /** True after a turn ended with an error: the agent may have lost the session. */
  isDoubtful: boolean
}

/**
 * The entry of our session among the sessions of a process, if it is loaded. An agent may give a name out twice, so the
 * entry under `ref` may belong to another session; that one is not returned.
 */
export const findLoaded = (
  sessions: ReadonlyMap<AgentSessionRef, LoadedSession>,
  session: AgentSession,
  ref: AgentSessionRef,
): LoadedSession | undefined => {
  const found = sessions.get(ref)
  return found?.session.id === session.id ? found : undefined
}
