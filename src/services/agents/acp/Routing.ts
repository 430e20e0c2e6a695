import { Exit } from "effect"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import { errorOf, isNotFound, turnFailureOf } from "./Failures.ts"
import type { Routes } from "./Connection.ts"
import type { Turn } from "./Turn.ts"

/** A session that the process has. */
export interface Attached {
  readonly session: AgentSession
  turn: Turn | undefined
  /** A turn ended with an error, after which an agent may have the session no more. */
  isInDoubt: boolean
}

/** What the process has of a session of ours; an agent that gives out a name again may have another by that name. */
export const attachedAs = (
  attached: ReadonlyMap<AgentSessionRef, Attached>,
  session: AgentSession,
  ref: AgentSessionRef,
): Attached | undefined => {
  const found = attached.get(ref)
  return found?.session.id === session.id ? found : undefined
}

/** Brings each message to the turn that it belongs to. */
export const routesTo = (
  attached: Map<AgentSessionRef, Attached>,
  secrets: ReadonlyArray<string>,
): Routes => {
  const turnOf = (session: unknown) => attached.get(session as AgentSessionRef)?.turn
  return {
    prompted: (session, id) => {
      const turn = turnOf(session)
      if (turn !== undefined) turn.id = id
    },
    sent: (session, message) => turnOf(session)?.offer(message),
    answered: (id, message) => {
      const asked = [...attached.entries()].find(([, { turn }]) => turn !== undefined && turn.id === id)
      const turn = asked?.[1].turn
      if (asked === undefined || turn === undefined) return undefined
      if (message["error"] == null) {
        const taken = turn.offer(message)
        turn.end(Exit.void)
        return taken
      } else {
        const confidential = { secrets, texts: [turn.prompt] }
        const error = errorOf(message["error"])
        if (isNotFound(error)) attached.delete(asked[0])
        else asked[1].isInDoubt = true
        turn.end(Exit.fail(turnFailureOf(error, confidential)))
        return undefined
      }
    },
    permissionMode: (session) => attached.get(session as AgentSessionRef)?.session.permissionMode,
  }
}
