import { statfs } from "node:fs/promises"
import { Layer } from "effect"
import { Disks } from "../services/upkeep/Disks.ts"
import { tryStorage } from "./TryStorage.ts"

/** Measures the disks that these paths are on. Space that is reserved for root does not count as free. */
export const layer = (paths: ReadonlyArray<string>) =>
  Layer.succeed(Disks, {
    freeBytes: tryStorage("looking at the disks", async () => {
      const disks = await Promise.all(paths.map((path) => statfs(path)))
      return Math.min(...disks.map(({ bavail, bsize }) => bavail * bsize))
    }),
  })
