import { Context, type Effect, type Option, type Stream } from "effect"
import type { AgentRefusal, ModelNotFound, TurnFailed } from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import type { AgentName, AgentSessionRef, PermissionMode } from "../../domain/Session.ts"

/** The properties of a session that its agent needs. */
export interface AgentSession {
  readonly id: SessionId
  /** The app that owns the session. Sessions of different apps never share a process. */
  readonly owner: TokenId
  readonly agent: AgentName
  /** Null for the agent's own default. */
  readonly model: string | null
  readonly permissionMode: PermissionMode
  /** The absolute path of the agent's working directory. It exists, and no other session uses it. */
  readonly cwd: string
}

/** A JSON-RPC message that the agent sent, unchanged. */
export type AcpMessage = Readonly<Record<string, unknown>>

/** A message that an agent sent about a session while no turn of it was open. */
export interface UnpromptedMessage {
  readonly session: SessionId
  readonly message: AcpMessage
}

/** An agent's name, version and capabilities. */
export interface AgentInfo {
  readonly name: string | null
  readonly version: string | null
  /** Whether the agent can resume a session in a new process. */
  readonly resumable: boolean
  /** Whether the agent can delete its own record of a session. */
  readonly erasable: boolean
}

/** The state of a session that was opened before. */
export interface LeftOff {
  /** The agent's name for the session. */
  readonly ref: AgentSessionRef
  /** Whether the agent has ever answered in the session. */
  readonly answered: boolean
}

/**
 * A client for agents that speak the Agent Client Protocol. The client starts the agents' processes on demand and ends
 * idle ones. All processes are gone when its layer closes.
 *
 * Every `session/request_permission` is answered at once, by the session's permission mode; with no while no turn is open.
 */
export class AcpxClient extends Context.Tag("clawdforge/AcpxClient")<
  AcpxClient,
  {
    /**
     * Creates a session at the agent, or resumes it from where it was left. Returns the agent's name for the session,
     * which may be a new one.
     *
     * Fails when the agent has answered in the session and cannot resume it: such a session is never replaced by an
     * empty one. Fails with `ModelNotFound` when the agent does not offer the session's model.
     */
    readonly open: (
      session: AgentSession,
      left: Option.Option<LeftOff>,
    ) => Effect.Effect<AgentSessionRef, AgentRefusal | ModelNotFound>
    /**
     * Runs one turn of an open session. The stream has every message of the agent about this session between the prompt
     * and its result, unchanged and in order: ACP does not say which prompt a message answers. The last message is the
     * result, which has the stop reason. A session must have only one turn at a time.
     *
     * Interrupting the stream cancels the turn. The interruption completes when the agent has stopped working on the
     * turn, or its process is gone.
     */
    readonly prompt: (
      session: AgentSession,
      ref: AgentSessionRef,
      prompt: string,
    ) => Stream.Stream<AcpMessage, AgentRefusal | TurnFailed>
    /**
     * What agents send about open sessions while no turn is open, in order: before a prompt is sent, and after its result.
     * For one reader at a time. Without a reader it is dropped; a reader that is too slow holds the agents up.
     */
    readonly unprompted: Stream.Stream<UnpromptedMessage>
    /** Asks the agent to end the session's turn. If the agent obeys, the turn's result has the reason `cancelled`. */
    readonly cancel: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void>
    /** Closes a session at the agent, within seconds. It can be opened again until it is erased. */
    readonly close: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void>
    /** Deletes the agent's own record of a closed session, if the agent can do that. May be called again. */
    readonly erase: (session: AgentSession, ref: AgentSessionRef) => Effect.Effect<void, AgentRefusal>
    /** Ends all agents' processes of an app. */
    readonly endOf: (owner: TokenId) => Effect.Effect<void>
    /** Ends all agents' processes of all apps. */
    readonly endAll: Effect.Effect<void>
    /** Returns an agent's name, version and capabilities. Uses a process of that app, or a temporary one. */
    readonly inspect: (agent: AgentName, owner: TokenId) => Effect.Effect<AgentInfo, AgentRefusal>
  }
>() {}
