import { FileSystem, Path } from "@effect/platform"
import { Effect } from "effect"
import type { AppConfig } from "../../infra/Config.ts"
import * as DiskSpace from "../../infra/DiskSpace.ts"
import { Disks } from "../../services/upkeep/Disks.ts"
import { DISK_MIN_BYTES } from "../../services/upkeep/Readiness.ts"
import { type Finding, fault, ok } from "./Finding.ts"

/** The directory itself if it exists, else its nearest parent that does. */
const nearestExisting = (
  directory: string,
): Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const parent = path.dirname(path.resolve(directory))
    if (yield* Effect.orElseSucceed(fs.exists(directory), () => false)) return directory
    return parent === directory ? directory : yield* nearestExisting(parent)
  })

/** A fault if the directory cannot be written to, else undefined. Tests it with a temporary directory. */
const writeFault = (variable: string, directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const parent = yield* nearestExisting(directory)
    return yield* fs.makeTempDirectoryScoped({ directory: parent, prefix: ".clawdforge-doctor-" }).pipe(
      Effect.scoped,
      Effect.match({
        onSuccess: () => undefined,
        onFailure: (error) => {
          const reason = error._tag === "SystemError" ? ` (${error.reason})` : ""
          return fault(
            "data",
            `${variable}: ${directory} cannot be written to${reason}`,
            `let the service's user write there (chown, chmod), or set ${variable} to another directory`,
          )
        },
      }),
    )
  })

/** A fault if the database's file is there and cannot be written to, else undefined. Changes nothing in it. */
const databaseFault = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(file))) return undefined
    yield* fs.open(file, { flag: "r+" })
    return undefined
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(
        fault(
          "data",
          `DB_PATH: ${file} cannot be written to${error._tag === "SystemError" ? ` (${error.reason})` : ""}`,
          "let the service's user write it (chown, chmod), or set DB_PATH to another file",
        ),
      ),
    ),
  )

/** Checks all directories that the service writes to, and the free space of their disks. */
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
    const results = yield* Effect.forEach(Object.entries(all), ([variable, dir]) => writeFault(variable, dir))
    const faults = [...results, yield* databaseFault(config.dbPath)].filter(
      (finding) => finding !== undefined,
    )
    // If DATA_DIR cannot be written to, the others usually fail for the same reason: by default they are inside it.
    if (faults.length > 0) return faults.slice(0, results[0] === undefined ? faults.length : 1)
    const places = yield* Effect.forEach(Object.values(all), nearestExisting)
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
        : fault("disk", `only ${room}`, "free some space, or set DATA_DIR to a directory on another disk"),
    ]
  })
