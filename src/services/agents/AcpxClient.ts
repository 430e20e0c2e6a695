import { Context, type Effect, type Option, type Stream } from "effect"
import type { AgentRefusal, InvalidRequest, TurnFailed } from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import type { AgentName, AgentSessionRef, PermissionMode } from "../../domain/Session.ts"

/** A session, as far as its agent is concerned. */
export interface AgentSession {
  readonly id: SessionId
  /** Agents' processes are never shared by sessions of two apps. */
  readonly owner: TokenId
  readonly agent: AgentName
  /** None: the agent's own default. */
  readonly model: string | null
  readonly permissionMode: PermissionMode
  /** Where the agent works. It exists, and belongs to this session alone. */
  readonly cwd: string
}

/** A JSON-RPC message as the agent sent it. */
export type AcpMessage = Readonly<Record<string, unknown>>

/** What an agent says of itself, and what it can do. */
export interface AgentInfo {
  readonly name: string | null
  readonly version: string | null
  /** Whether a session outlives the agent's process. */
  readonly resumable: boolean
  /** Whether the agent can delete its own record of a session. */
  readonly erasable: boolean
}

/** How a session was left: what the agent calls it, and whether the agent ever answered in it. */
export interface LeftOff {
  readonly ref: AgentSessionRef
  readonly answered: boolean
}

/**
 * Agents, spoken to in the Agent Client Protocol. Their processes are started on demand and are the client's own
 * affair; all are gone when its layer closes.
 *
 * Every `session/request_permission` is answered at once, by the session's permission mode.
 */
export class AcpxClient extends Context.Tag("clawdforge/AcpxClient")<
  AcpxClient,
  {
    /**
     * Makes sure that the agent has the session: creates it, or takes it up again where it was left. A session that
     * the agent answered in and cannot take up again is a failure, never an empty one. Returns what the agent calls
     * it from now on. `InvalidRequest` when the agent does not offer the session's model.
     */
    readonly open: (
      session: AgentSession,
      left: Option.Option<LeftOff>,
    ) => Effect.Effect<AgentSessionRef, AgentRefusal | InvalidRequest>
    /**
     * One turn of an open session: every message that the agent sends of this session from our prompt on, in order,
     * as it came; the last is the result, which has the stop reason. One turn of a session at a time.
     *
     * When the stream is interrupted the turn is cancelled; the interruption ends when the agent has stopped working
     * on it, or its process is gone.
     */
    readonly prompt: (
      session: AgentSession,
      ref: AgentSessionRef,
      prompt: string,
    ) => Stream.Stream<AcpMessage, AgentRefusal | TurnFailed>
    /** Asks the agent to end the session's turn; the turn's stream then ends with `cancelled`, if the agent obeys. */
    readonly cancel: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void>
    /** Lets go of a session. It can be opened again, as long as it is not erased. Takes some seconds at most. */
    readonly close: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void>
    /** Deletes the agent's own record of a session that is closed, as far as the agent can. Again is fine. */
    readonly erase: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void, AgentRefusal>
    /** Ends all processes of an app's agents. */
    readonly endOf: (owner: TokenId) => Effect.Effect<void>
    /** Ends all processes of all agents: the service stops. */
    readonly endAll: Effect.Effect<void>
    /** Asks an agent who it is, in a process of that app's. */
    readonly inspect: (agent: AgentName, owner: TokenId) => Effect.Effect<AgentInfo, AgentRefusal>
  }
>() {}
