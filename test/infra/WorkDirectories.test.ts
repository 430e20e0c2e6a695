import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import type { RunId } from "../../src/domain/Ids.ts"
import * as WorkDirectories from "../../src/infra/WorkDirectories.ts"
import { WorkDirs } from "../../src/services/agents/WorkDirs.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const runId = (n: number) => String(n).padStart(26, "0") as RunId

/** The directories of runs under `root`, which exists. */
const withDirs = <A, E>(test: (dirs: typeof WorkDirs.Service, root: string) => Effect.Effect<A, E>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const root = join(yield* temporaryDirectory, "runs")
      return yield* Effect.flatMap(WorkDirs, (dirs) => test(dirs, root)).pipe(
        Effect.provide([WorkDirectories.layer(root), Logger.remove(Logger.defaultLogger)]),
      )
    }),
  )

describe("the directories of a run", () => {
  it.live("leave nothing when only one of them can be made", () =>
    withDirs((dirs, root) =>
      Effect.gen(function* () {
        mkdirSync(join(root, runId(1)))
        writeFileSync(join(root, runId(1), "tmp"), "in the way")
        const failure = yield* Effect.flip(Effect.scoped(dirs.make(runId(1))))
        expect(failure._tag).toBe("StorageFailed")
        expect(readdirSync(root)).toEqual([])
      }),
    ),
  )

  it.live("are removed later when they could not be removed at the run's end, and not before it", () =>
    withDirs((dirs, root) =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const dir = yield* dirs.make(runId(1))
            yield* Effect.scoped(
              Effect.gen(function* () {
                writeFileSync(join((yield* dirs.make(runId(2))).cwd, "left"), "left")
                renameSync(root, `${root}.away`)
              }),
            )
            renameSync(`${root}.away`, root)
            mkdirSync(join(root, "notes"))
            expect(readdirSync(root).toSorted()).toEqual([runId(1), runId(2), "notes"])
            expect(yield* dirs.removeOrphans).toBe(1)
            expect(yield* dirs.removeOrphans).toBe(0)
            expect(existsSync(dir.cwd)).toBe(true)
          }),
        )
        expect(readdirSync(root)).toEqual(["notes"])
      }),
    ),
  )
})
