import { mkdir, rm, statfs, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { Disks } from "../services/upkeep/Disks.ts"
import { errorCodeOf } from "../services/upkeep/ErrorCode.ts"
import { tryStorage } from "./TryStorage.ts"

/** One block of a disk. */
const TRIAL_BYTES = 4096

/** A directory in which the service makes files and directories. */
export interface WrittenDirectory {
  /** The name of its setting. */
  readonly setting: string
  readonly path: string
  /** Whether the service makes the directory again when it is gone. */
  readonly isRemade: boolean
}

/** Measures the disks that these paths are on. Space that is reserved for root does not count as free. */
export const layer = (
  paths: ReadonlyArray<string>,
  directories: ReadonlyArray<WrittenDirectory> = [],
): Layer.Layer<Disks> =>
  Layer.succeed(Disks, {
    freeBytes: tryStorage("looking at the disks", async () => {
      const disks = await Promise.all(paths.map((path) => statfs(path)))
      return Math.min(...disks.map(({ bavail, bsize }) => bavail * bsize))
    }),
    unwritable: Effect.map(Effect.forEach(directories, tryDirectory, { concurrency: "unbounded" }), (found) =>
      found.flat(),
    ),
  })

const tryDirectory = (directory: WrittenDirectory) =>
  Effect.match(
    tryStorage("trying to write", () => tryWriting(directory)),
    {
      onSuccess: () => [],
      onFailure: ({ cause }) => [{ setting: directory.setting, code: errorCodeOf(cause) }],
    },
  )

/**
 * Does what a run or an upload needs. The name is the same each time: what a service leaves that is killed in the middle
 * is removed by the next trial. Nobody else uses the directories, and trials do not overlap.
 */
const tryWriting = async ({ path, isRemade }: WrittenDirectory) => {
  const place = join(path, ".clawdforge-trial")
  await rm(place, { recursive: true, force: true })
  await mkdir(place, { mode: 0o700, recursive: isRemade })
  try {
    await writeFile(join(place, "file"), new Uint8Array(TRIAL_BYTES), { mode: 0o600 })
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}
