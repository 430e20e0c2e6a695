import { Exit } from "effect"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { ConnectionListener } from "./Connection.ts"
import { errorOf, isNotFound, turnFailureOf } from "./Failures.ts"
import type { TurnMessages } from "./TurnMessages.ts"

/** A turn that an agent's process works on. */
export interface ProcessTurn {
  readonly prompt: string
  readonly messages: TurnMessages
  /** The id of our prompt request; the agent's result has the same id. Undefined until the prompt is sent. */
  requestId: unknown
  /** When the agent was first asked to end the turn, in milliseconds since the epoch. */
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

/** Passes each message of a connection to the turn that it belongs to, and ends the turn with the agent's result. */
export const makeMessageRouter = (
  sessions: Map<AgentSessionRef, LoadedSession>,
  secrets: ReadonlyArray<string>,
): ConnectionListener => {
  const turnOf = (ref: unknown) => sessions.get(ref as AgentSessionRef)?.turn
  return {
    onPromptSent: (ref, requestId) => {
      const turn = turnOf(ref)
      if (turn !== undefined) turn.requestId = requestId
    },
    onMessage: (ref, message) => turnOf(ref)?.messages.offer(message),
    onResponse: (requestId, message) => {
      const entry = [...sessions.entries()].find(
        ([, { turn }]) => turn !== undefined && turn.requestId === requestId,
      )
      const turn = entry?.[1].turn
      if (entry === undefined || turn === undefined) return undefined
      if (message["error"] == null) {
        const wait = turn.messages.offer(message)
        turn.messages.end(Exit.void)
        return wait
      } else {
        const confidential = { secrets, texts: [turn.prompt] }
        const error = errorOf(message["error"])
        if (isNotFound(error)) sessions.delete(entry[0])
        else entry[1].isDoubtful = true
        turn.messages.end(Exit.fail(turnFailureOf(error, confidential)))
        return undefined
      }
    },
    permissionModeOf: (ref) => sessions.get(ref as AgentSessionRef)?.session.permissionMode,
  }
}
