import { Context, Effect, type Option } from "effect"
import { AgentUnavailable, type StorageFailed } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"

/** Port: what acpx keeps on disk. */
export class AcpxRecords extends Context.Tag("clawdforge/AcpxRecords")<
  AcpxRecords,
  {
    /** What the agent itself calls the session now; none when acpx has no record of it. */
    readonly agentSession: (
      ref: AgentSessionRef,
    ) => Effect.Effect<Option.Option<AgentSessionRef>, StorageFailed>
    /**
     * From now on acpx takes the session up again, or fails: it never puts an empty one in its place. False when there
     * is no record. Not while a turn is at work, whose own writing would undo it.
     */
    readonly insist: (ref: AgentSessionRef) => Effect.Effect<boolean, StorageFailed>
    /** Removes the record with the texts that are kept with it; what is not there is no failure. */
    readonly remove: (ref: AgentSessionRef) => Effect.Effect<void, StorageFailed>
    /** Removes the settings for acpx that a working directory could hold. */
    readonly dropSettings: (cwd: string) => Effect.Effect<void, StorageFailed>
  }
>() {}

/** acpx's records are to us what an agent's memory is: without them there is no agent. */
export const fromRecords = <A>(effect: Effect.Effect<A, StorageFailed>): Effect.Effect<A, AgentUnavailable> =>
  Effect.catchAll(effect, (failure) =>
    Effect.zipRight(
      Effect.logWarning(failure.during, failure.cause),
      new AgentUnavailable({ reason: "acpx's records cannot be used" }),
    ),
  )
