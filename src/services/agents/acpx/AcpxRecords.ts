import { Context, Effect, type Option } from "effect"
import { AgentUnavailable, type StorageFailed } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"

/** Port: acpx's records of sessions on disk. */
export class AcpxRecords extends Context.Tag("clawdforge/AcpxRecords")<
  AcpxRecords,
  {
    /** The name that the agent itself uses for the session now. None when acpx has no record of the session. */
    readonly agentRef: (ref: AgentSessionRef) => Effect.Effect<Option.Option<AgentSessionRef>, StorageFailed>
    /**
     * Changes the record for the next turn. acpx then finds it by `agent`, the agent's command line, and starts that. With
     * `mustResume`, acpx from now on resumes the session or fails, and never replaces it by an empty one. Returns false when
     * there is no record. Must not be called during a turn: acpx's own writing would undo it.
     */
    readonly prepare: (
      ref: AgentSessionRef,
      agent: string,
      mustResume: boolean,
    ) => Effect.Effect<boolean, StorageFailed>
    /** Removes the record and the texts that acpx stores with it. Does nothing when there is none. */
    readonly remove: (ref: AgentSessionRef) => Effect.Effect<void, StorageFailed>
    /** Removes acpx's settings file from a working directory. */
    readonly dropSettings: (cwd: string) => Effect.Effect<void, StorageFailed>
  }
>() {}

/**
 * Logs a storage failure of acpx's records and turns it into `AgentUnavailable`: without its record, a session cannot be
 * used.
 */
export const fromRecords = <A>(effect: Effect.Effect<A, StorageFailed>): Effect.Effect<A, AgentUnavailable> =>
  Effect.catchAll(effect, (failure) =>
    Effect.zipRight(
      Effect.logWarning(failure.during, failure.cause),
      new AgentUnavailable({ reason: "acpx's records cannot be used" }),
    ),
  )
