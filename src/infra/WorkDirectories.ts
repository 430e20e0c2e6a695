import { mkdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { WorkDirs } from "../services/WorkDirs.ts"

/** A directory a run under `root`, mode 0700. */
export const layer = (root: string) =>
  Layer.succeed(WorkDirs, {
    make: (run) =>
      Effect.acquireRelease(
        Effect.tryPromise({
          try: async () => {
            const place = join(resolve(root), run)
            const dir = { place, cwd: join(place, "work"), tmp: join(place, "tmp") }
            await mkdir(dir.cwd, { recursive: true, mode: 0o700 })
            await mkdir(dir.tmp, { mode: 0o700 })
            return dir
          },
          catch: (cause) => new StorageFailed({ during: "making a run's directory", cause }),
        }),
        ({ place }) =>
          Effect.tryPromise(() => rm(place, { recursive: true, force: true, maxRetries: 3 })).pipe(
            Effect.catchAll((cause) => Effect.logWarning("a run's directory was not removed", cause)),
          ),
      ),
  })
