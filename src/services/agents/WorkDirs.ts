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

/** Port: new private directories for each run. They are removed with their contents when the scope closes. */
export class WorkDirs extends Context.Tag("clawdforge/WorkDirs")<
  WorkDirs,
  { readonly make: (run: RunId) => Effect.Effect<WorkDir, StorageFailed, Scope.Scope> }
>() {}
