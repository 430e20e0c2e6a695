import type { Duration } from "effect"
import type { AgentName } from "../../../domain/Session.ts"
import type { Executable } from "../ClaudeRunner.ts"

/** What the ways to agents have in common. */
export interface AgentOptions {
  /** How each agent that may be asked for is started; one that is not installed is not there. */
  readonly agents: ReadonlyMap<AgentName, Executable>
  /** All of the environment that agents get. */
  readonly env: Readonly<Record<string, string>>
  /** An agent's process is ended when nobody used it for so long. */
  readonly idleSecs: number
  /** What an agent may take to start, and then to open a session. */
  readonly openPatience: Duration.Duration
}
