import { Context, type Effect, type Scope } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"

/** A run's own place on disk. */
export interface WorkDir {
  /** Where the agent works: the only directory that it can read. */
  readonly cwd: string
  /** For the agent's own temporary files; outside `cwd`. */
  readonly tmp: string
}

/** Port: a fresh, private place for each run; removed with all that is in it when the scope closes. */
export class WorkDirs extends Context.Tag("clawdforge/WorkDirs")<
  WorkDirs,
  { readonly make: (run: RunId) => Effect.Effect<WorkDir, StorageFailed, Scope.Scope> }
>() {}
