import { statfs } from "node:fs/promises"
import { Effect, Layer } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { Disks } from "../services/upkeep/Disks.ts"

/** Measures the disks that these paths are on. Space that is reserved for root does not count as free. */
export const layer = (paths: ReadonlyArray<string>) =>
  Layer.succeed(Disks, {
    freeBytes: Effect.tryPromise({
      try: async () => {
        const disks = await Promise.all(paths.map((path) => statfs(path)))
        return Math.min(...disks.map(({ bavail, bsize }) => bavail * bsize))
      },
      catch: (cause) => new StorageFailed({ during: "looking at the disks", cause }),
    }),
  })
