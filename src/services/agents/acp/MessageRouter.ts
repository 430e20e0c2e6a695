import { Exit } from "effect"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { ConnectionListener } from "./Connection.ts"
import { errorOf, isNotFound, turnFailureOf } from "./Failures.ts"
import { claudeMessageOf } from "./MessageFields.ts"
import { openTurnOf, type LoadedSessions } from "./LoadedSession.ts"

/**
 * Passes each message of a connection to the turn that it belongs to, and ends the turn with the agent's result. ACP
 * does not say which prompt a message answers. What the agent sends between our prompt and its result is the turn's; all
 * else goes to `sessions.unprompted`.
 */
export const makeMessageRouter = (
  sessions: LoadedSessions,
  secrets: ReadonlyArray<string>,
): ConnectionListener => {
  const turnOf = (ref: unknown) => sessions.get(ref as AgentSessionRef)?.turn
  return {
    onOpened: sessions.expect,
    onPromptSent: (ref, requestId) => {
      const turn = turnOf(ref)
      if (turn !== undefined) turn.requestId = requestId
    },
    onMessage: (ref, message) => {
      const loaded = sessions.get(ref as AgentSessionRef)
      const turn = openTurnOf(loaded)
      if (turn !== undefined) return turn.messages.offer(message)
      return claudeMessageOf(message) === undefined ? sessions.unprompted(ref, message) : undefined
    },
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
    permissionModeOf: (ref) => {
      const loaded = sessions.get(ref as AgentSessionRef)
      // Nobody asked for what the agent does while no turn is open.
      return openTurnOf(loaded) === undefined ? loaded && "deny-all" : loaded?.session.permissionMode
    },
  }
}
