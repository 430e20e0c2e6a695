import { FileSystem, Path } from "@effect/platform"
import { Effect } from "effect"
import type { AppConfig } from "../../infra/Config.ts"
import * as DiskSpace from "../../infra/DiskSpace.ts"
import { Disks } from "../../services/upkeep/Disks.ts"
import { DISK_MIN_BYTES } from "../../services/upkeep/Readiness.ts"
import { type Finding, fault, ok } from "./Finding.ts"

/** The directory itself, or the one that it would be made in. */
const existing = (directory: string): Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const above = path.dirname(path.resolve(directory))
    if (yield* Effect.orElseSucceed(fs.exists(directory), () => false)) return directory
    return above === directory ? directory : yield* existing(above)
  })

/** Whether something can be written there is known when it was; nothing of it stays. */
const writable = (variable: string, directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const there = yield* existing(directory)
    return yield* fs.makeTempDirectoryScoped({ directory: there, prefix: ".clawdforge-doctor-" }).pipe(
      Effect.scoped,
      Effect.match({
        onSuccess: () => undefined,
        onFailure: (error) => {
          const why = error._tag === "SystemError" ? ` (${error.reason})` : ""
          return fault(
            "data",
            `${variable}: ${directory} cannot be written to${why}`,
            `give the service's user the right to write there (chown, chmod), or set ${variable} to another place`,
          )
        },
      }),
    )
  })

/** Everything that the service writes to: its directories, and room on their disks. */
export const directories = (
  config: AppConfig,
): Effect.Effect<ReadonlyArray<Finding>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const all = {
      DATA_DIR: config.dataDir,
      DB_PATH: path.dirname(config.dbPath),
      RUNS_DIR: config.runsDir,
      FILES_DIR: config.filesDir,
      ACPX_SESSIONS_CWD: config.sessionsDir,
    }
    const looked = yield* Effect.forEach(Object.entries(all), ([variable, dir]) => writable(variable, dir))
    const faults = looked.filter((finding) => finding !== undefined)
    // Below a data directory that cannot be written to nothing can, unless it was put elsewhere.
    if (faults.length > 0) return faults.slice(0, looked[0] === undefined ? faults.length : 1)
    const places = yield* Effect.forEach(Object.values(all), existing)
    const free = yield* Effect.option(
      Effect.provide(
        Effect.flatMap(Disks, ({ freeBytes }) => freeBytes),
        DiskSpace.layer(places),
      ),
    )
    const data = ok("data", `${path.resolve(config.dataDir)} can be written to`)
    if (free._tag === "None") return [data]
    const room = `${Math.floor(free.value / 1024 ** 2)} MiB free`
    return [
      data,
      free.value >= DISK_MIN_BYTES
        ? ok("disk", room)
        : fault("disk", `only ${room}`, "make room, or set DATA_DIR to a place that has some"),
    ]
  })
