import { Context, type Effect, type Scope } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"

/** The directories of one run. */
export interface WorkDir {
  /** The agent's working directory, the only one that it can read. */
  readonly cwd: string
  /** For the agent's own temporary files; outside `cwd`. */
  readonly tmp: string
}

/** Port: new private directories for each run. */
export class WorkDirs extends Context.Tag("clawdforge/WorkDirs")<
  WorkDirs,
  {
    /** Makes the directories. They are removed with their contents when the scope closes. */
    readonly make: (run: RunId) => Effect.Effect<WorkDir, StorageFailed, Scope.Scope>
    /** Removes directories that no run has any more, as their own removal failed. Returns how many are removed. */
    readonly removeOrphans: Effect.Effect<number, StorageFailed>
  }
>() {}
