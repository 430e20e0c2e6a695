import { mkdir, readdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { RunId } from "../domain/Ids.ts"
import { WorkDirs } from "../services/agents/WorkDirs.ts"
import { tryStorage } from "./TryStorage.ts"

const remove = (place: string) =>
  Effect.tryPromise(() => rm(place, { recursive: true, force: true, maxRetries: 3 })).pipe(
    Effect.catchAll((cause) => Effect.logWarning("a run's directory was not removed", cause)),
  )

/**
 * Makes one directory for each run under `root`, with mode 0700. When the layer is built, it makes `root`, and removes
 * the directories that a server before this one has left in it. A directory that cannot be removed is logged.
 */
export const layer = (root: string) =>
  Layer.effect(
    WorkDirs,
    Effect.gen(function* () {
      const leftovers = yield* tryStorage("making the directory of all runs", async () => {
        await mkdir(root, { recursive: true, mode: 0o700 })
        return (await readdir(root)).filter(Schema.is(RunId))
      })
      yield* Effect.forEach(leftovers, (run) => remove(join(root, run)), { discard: true, concurrency: 16 })
      return workDirs(root)
    }),
  )

const workDirs = (root: string) =>
  WorkDirs.of({
    make: (run) =>
      Effect.acquireRelease(
        tryStorage("making a run's directory", async () => {
          const place = join(resolve(root), run)
          const dir = { place, cwd: join(place, "work"), tmp: join(place, "tmp") }
          await mkdir(dir.cwd, { recursive: true, mode: 0o700 })
          await mkdir(dir.tmp, { mode: 0o700 })
          return dir
        }),
        ({ place }) => remove(place),
      ),
  })
