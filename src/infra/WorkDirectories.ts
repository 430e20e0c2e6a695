import { mkdir, readdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { RunId } from "../domain/Ids.ts"
import { WorkDirs } from "../services/WorkDirs.ts"

const making = <A>(what: string, make: () => Promise<A>) =>
  Effect.tryPromise({ try: make, catch: (cause) => new StorageFailed({ during: `making ${what}`, cause }) })

/**
 * A directory a run under `root`, mode 0700. That `root` can be made is seen at the start, and what a server that
 * died has left in it is removed then.
 */
export const layer = (root: string) =>
  Layer.effect(
    WorkDirs,
    Effect.as(
      making("the directory of all runs", async () => {
        await mkdir(root, { recursive: true, mode: 0o700 })
        const left = (await readdir(root)).filter(Schema.is(RunId))
        await Promise.all(left.map((run) => rm(join(root, run), { recursive: true, force: true })))
      }),
      workDirs(root),
    ),
  )

const workDirs = (root: string) =>
  WorkDirs.of({
    make: (run) =>
      Effect.acquireRelease(
        making("a run's directory", async () => {
          const place = join(resolve(root), run)
          const dir = { place, cwd: join(place, "work"), tmp: join(place, "tmp") }
          await mkdir(dir.cwd, { recursive: true, mode: 0o700 })
          await mkdir(dir.tmp, { mode: 0o700 })
          return dir
        }),
        ({ place }) =>
          Effect.tryPromise(() => rm(place, { recursive: true, force: true, maxRetries: 3 })).pipe(
            Effect.catchAll((cause) => Effect.logWarning("a run's directory was not removed", cause)),
          ),
      ),
  })
