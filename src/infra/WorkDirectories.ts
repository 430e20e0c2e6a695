import { mkdir, readdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { RunId } from "../domain/Ids.ts"
import { WorkDirs } from "../services/agents/WorkDirs.ts"
import { removeTree } from "./RemoveTree.ts"
import { tryStorage } from "./TryStorage.ts"

/** Removes the directory at `place`. Returns false when that fails, which is logged. */
const remove = (place: string) =>
  Effect.tryPromise(() => removeTree(place)).pipe(
    Effect.as(true),
    Effect.catchAll((cause) =>
      Effect.as(Effect.logWarning("a run's directory is not removed yet", cause), false),
    ),
  )

/**
 * Makes one directory for each run under `root`, with mode 0700. When the layer is built, it makes `root`, and removes
 * the directories that a server before this one has left in it.
 */
export const layer = (root: string) =>
  Layer.effect(
    WorkDirs,
    Effect.gen(function* () {
      yield* tryStorage("making the directory of all runs", () =>
        mkdir(root, { recursive: true, mode: 0o700 }),
      )
      const dirs = workDirs(resolve(root))
      yield* dirs.removeOrphans
      return dirs
    }),
  )

const workDirs = (root: string) => {
  /** The runs whose directories are made, used or being removed. */
  const owned = new Set<RunId>()
  /** Removes the directory of a run. If that fails, the next call of `removeOrphans` does it. */
  const release = (run: RunId) =>
    Effect.ensuring(
      remove(join(root, run)),
      Effect.sync(() => owned.delete(run)),
    )
  return WorkDirs.of({
    make: (run) =>
      Effect.acquireRelease(
        tryStorage("making a run's directory", async () => {
          owned.add(run)
          const place = join(root, run)
          const dir = { cwd: join(place, "work"), tmp: join(place, "tmp") }
          await mkdir(dir.cwd, { recursive: true, mode: 0o700 })
          await mkdir(dir.tmp, { mode: 0o700 })
          return dir
        }).pipe(Effect.onError(() => release(run))),
        () => release(run),
      ),
    removeOrphans: Effect.gen(function* () {
      const entries = yield* tryStorage("listing the directories of runs", () => readdir(root))
      const orphans = entries.filter(Schema.is(RunId)).filter((run) => !owned.has(run))
      const removed = yield* Effect.forEach(orphans, (run) => remove(join(root, run)), { concurrency: 16 })
      return removed.filter((isRemoved) => isRemoved).length
    }),
  })
}
