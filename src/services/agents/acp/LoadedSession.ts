import type { Effect } from "effect"
import { estimateJsonChars } from "../../../domain/Json.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AcpMessage, AgentSession } from "../AcpxClient.ts"
import type { TurnMessages } from "./TurnMessages.ts"
import type { UnpromptedMessages } from "./UnpromptedMessages.ts"

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

/** The turn that the agent works on: its prompt is sent, and the agent has not answered it. */
export const openTurnOf = (loaded: LoadedSession | undefined): ProcessTurn | undefined => {
  const turn = loaded?.turn
  return turn === undefined || turn.requestId === undefined || turn.messages.isEnded() ? undefined : turn
}

/** Characters of early messages that a process may hold. */
const EARLY_MAX_CHARS = 1024 * 1024
/** A message of more levels is not held: to measure it could overflow the stack. */
const EARLY_MAX_LEVELS = 512

/** The sessions that an agent's process has loaded, by the agent's names for them. */
export class LoadedSessions extends Map<AgentSessionRef, LoadedSession> {
  readonly #unprompted: UnpromptedMessages
  /** What the agent sent about sessions that it has opened, before they were added here. */
  readonly #early = new Map<unknown, Array<AcpMessage>>()
  #earlyChars = 0

  constructor(unprompted: UnpromptedMessages) {
    super()
    this.#unprompted = unprompted
  }

  /** The agent has answered that it opened a session: what it says about it from now on is no old message. */
  readonly expect = (ref: unknown): void => {
    if (!this.has(ref as AgentSessionRef)) this.#early.set(ref, [])
  }

  /** Adds a session, and passes on what the agent has sent about it since it was opened. */
  readonly add = (ref: AgentSessionRef, session: AgentSession): void => {
    this.set(ref, { session, turn: undefined, isDoubtful: false })
    const early = this.#early.get(ref) ?? []
    this.forget(ref)
    // A reader that is behind is not waited for: these are few.
    for (const message of early) this.unprompted(ref, message)
  }

  /** Gives up a session that was opened and is not added. */
  readonly forget = (ref: unknown): void => {
    this.#early.delete(ref)
    if (this.#early.size === 0) this.#earlyChars = 0
  }

  /** Takes a message about a session that has no open turn. Messages about other sessions are dropped. */
  readonly unprompted = (ref: unknown, message: AcpMessage): Effect.Effect<void> | undefined => {
    const loaded = this.get(ref as AgentSessionRef)
    if (loaded !== undefined) return this.#unprompted.offer(loaded.session.id, message)
    const early = this.#early.get(ref)
    if (early === undefined) return undefined
    this.#earlyChars += estimateJsonChars(message, EARLY_MAX_LEVELS)
    if (this.#earlyChars <= EARLY_MAX_CHARS) early.push(message)
    return undefined
  }
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
