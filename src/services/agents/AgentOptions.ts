import type { Duration } from "effect"
import type { AgentName } from "../../domain/Session.ts"
import type { Executable } from "./Processes.ts"

/** The options of both clients for agents, the direct one and the one for acpx. */
export interface AgentOptions {
  /** How each agent is started. An agent that is not installed is not in the map. */
  readonly agents: ReadonlyMap<AgentName, Executable>
  /** The whole environment of an agent's process. */
  readonly env: Readonly<Record<string, string>>
  /** An agent's process is ended after this many seconds without use. */
  readonly idleSecs: number
  /** How long an agent may take to start, and how long it may take for each step of opening a session. */
  readonly openTimeout: Duration.Duration
}
