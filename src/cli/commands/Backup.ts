import { Args, Command } from "@effect/cli"
import { Effect, Layer, Option } from "effect"
import { load } from "../../infra/Config.ts"
import * as DataDirLock from "../../infra/DataDirLock.ts"
import * as Backup from "../../infra/sqlite/Backup.ts"
import * as Restore from "../../infra/sqlite/Restore.ts"
import { Output } from "../Output.ts"
import { reportErrors } from "../ReportErrors.ts"
import { json } from "./Options.ts"

/** The operator's commands on the database of this machine's service. They read its settings, and ask no service. */

export const backup = Command.make(
  "backup",
  { json, file: Args.text({ name: "file" }).pipe(Args.withDescription("The new file.")) },
  ({ json, file }) =>
    Effect.gen(function* () {
      const out = yield* Output
      const { dbPath } = yield* load
      const bytes = yield* Backup.backup(dbPath, file)
      yield* json ? out.json({ ok: true, file, bytes }) : out.line(`${file}: ${bytes} bytes`)
    }).pipe(reportErrors(json)),
).pipe(
  Command.withDescription(
    "Writes the database to a new file. The service may run meanwhile. For the operator.",
  ),
)

export const restore = Command.make(
  "restore",
  { json, file: Args.text({ name: "file" }).pipe(Args.withDescription("A backup.")) },
  ({ json, file }) =>
    Effect.gen(function* () {
      const out = yield* Output
      const { dataDir, dbPath } = yield* load
      yield* Layer.build(DataDirLock.layer(dataDir)).pipe(
        Effect.mapError((error) =>
          error._tag === "DataDirTaken"
            ? new Backup.BackupFailed({ reason: `a service is at work on ${dataDir}: stop it first` })
            : new Backup.BackupFailed({ reason: `${error.during} failed: ${String(error.cause)}` }),
        ),
      )
      const { replaced, stillRevoked, isReplacedReadable } = yield* Restore.restore(file, dbPath)
      if (stillRevoked.length > 0)
        yield* out.notice(`These were revoked since the backup, and stay so: ${stillRevoked.join(", ")}`)
      if (!isReplacedReadable)
        yield* out.notice(
          "The replaced database is damaged: a token that was revoked since the backup is in force again",
        )
      if (json)
        return yield* out.json({
          ok: true,
          file: dbPath,
          replaced: Option.getOrNull(replaced),
          still_revoked: stillRevoked,
        })
      yield* out.line(`${dbPath} is restored from ${file}`)
      if (Option.isSome(replaced)) yield* out.line(`The replaced database is ${replaced.value}`)
    }).pipe(Effect.scoped, reportErrors(json)),
).pipe(
  Command.withDescription(
    "Replaces the database by a backup, while no service runs. The old one is kept. For the operator.",
  ),
)
