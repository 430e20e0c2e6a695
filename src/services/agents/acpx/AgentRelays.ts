import { Context, type Effect, type Scope } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { AcpMessage } from "../AcpxClient.ts"
import type { Executable } from "../Processes.ts"

/** An agent that acpx starts by way of a relay. */
export interface RelayedAgent {
  /** What acpx is told to start. Its name and arguments are the agent's own, because acpx treats some agents by name. */
  readonly executable: Executable
  /** The variables that acpx must hand on to the relay. The agent does not get them. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Port: processes between acpx and its agents, because acpx does not listen to an agent between turns.
 *
 * A relay passes everything on unchanged, but for what the agent sends about an open session while no prompt is open: acpx
 * does not get that. The relay refuses such a request, and passes the message to `hear`.
 */
export class AgentRelays extends Context.Tag("clawdforge/AgentRelays")<
  AgentRelays,
  {
    /**
     * Prepares a relay for one session in `directory`, which no other relay uses. As long as the scope is open, `hear` gets
     * the messages in order. An effect that it returns holds the agent up until it completes. Later messages are dropped.
     */
    readonly prepare: (
      agent: Executable,
      directory: string,
      hear: (message: AcpMessage) => Effect.Effect<void> | undefined,
    ) => Effect.Effect<RelayedAgent, StorageFailed, Scope.Scope>
  }
>() {}
