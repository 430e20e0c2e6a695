import { Command, Options } from "@effect/cli"
import type { CommandExecutor, FileSystem, HttpClient, Path } from "@effect/platform"
import { Chunk, Effect, Either, type Option, Stream } from "effect"
import type { SettingsError } from "../../client/Errors.ts"
import type { ForgeSettings } from "../../client/Settings.ts"
import { explain, load } from "../../infra/Config.ts"
import { isEnvFileUnread, namesInEnvFile } from "../../infra/EnvFile.ts"
import { unknownSettings } from "../../infra/UnknownSettings.ts"
import { connection } from "../Connection.ts"
import { clis } from "../doctor/Clis.ts"
import { directories } from "../doctor/Directories.ts"
import { type Finding, fault, note, ok } from "../doctor/Finding.ts"
import { adminToken, allowlist, port } from "../doctor/Network.ts"
import { notRunning, service } from "../doctor/Service.ts"
import { EXIT, Failed } from "../Exit.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { json } from "./Options.ts"

const from = Options.text("from").pipe(
  Options.withDescription("Also checks whether a caller with this address is admitted."),
  Options.optional,
)

/** Findings, each given when it is known. */
type Checks = Stream.Stream<
  Finding,
  SettingsError,
  CommandExecutor.CommandExecutor | FileSystem.FileSystem | HttpClient.HttpClient | Path.Path
>

/** Checks the service at that address, and its token. */
const checkService = (settings: ForgeSettings): Checks => Stream.fromIterableEffect(service(settings))

/** A client does not read `.env` when its environment says whom it asks. The service does: their settings may differ. */
const unreadEnvFile = (): ReadonlyArray<Finding> =>
  isEnvFileUnread()
    ? [
        note(
          "settings",
          ".env is not read, because CLAWDFORGE_URL or a token is set in the environment",
          "unset them to check this machine with the settings in .env, as the service has them",
        ),
      ]
    : []

/** Checks what a service needs on this machine, and whether it runs. */
const checkMachine = (caller: Option.Option<string>, settings: ForgeSettings): Checks =>
  Stream.unwrap(
    Effect.map(Effect.either(load), (loaded) => {
      if (Either.isLeft(loaded)) {
        const lines = explain(loaded.left)
        return Stream.fromIterable(
          lines.map((line) => fault("settings", line, "correct it in the environment or in .env")),
        )
      }
      const config = loaded.right
      const atOnce = [
        ok("settings", "can be read"),
        ...unreadEnvFile(),
        ...unknownSettings(Object.keys(process.env), namesInEnvFile()).map((line) => note("settings", line)),
        ...allowlist(config, caller),
        adminToken(config),
      ]
      const portAndService = Stream.unwrap(
        Effect.map(port(config), (finding) =>
          Stream.concat(
            Stream.make(finding),
            // `ok`: the port is free. `note`: a clawdforge listens there.
            {
              ok: Stream.make(notRunning(String(settings.baseUrl))),
              note: checkService(settings),
              fault: Stream.empty,
            }[finding.level],
          ),
        ),
      )
      const slow: ReadonlyArray<Checks> = [
        clis(config),
        Stream.fromIterableEffect(directories(config)),
        portAndService,
      ]
      return Stream.concat(Stream.fromIterable(atOnce), Stream.mergeAll(slow, { concurrency: "unbounded" }))
    }),
  )

const MARKS = { ok: "ok   ", note: "note ", fault: "FAULT" } as const

const lineOf = ({ level, name, detail, remedy }: Finding): string =>
  `${MARKS[level]}  ${name.padEnd(9)}  ${detail}${remedy === null ? "" : `\n                  → ${remedy}`}`

/**
 * Checks what can keep a service or an app from working: this machine, if the service is to run on it; and the service
 * itself. Prints each finding when it is known. Exits with 0 if there is no fault; that no service runs is one.
 */
export const doctor = Command.make("doctor", { json, from }, ({ json, from }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const { isLocal, settings } = yield* connection
    const findings = yield* Stream.make(ok("node", `Node ${process.versions.node}`)).pipe(
      Stream.concat(isLocal ? checkMachine(from, settings) : checkService(settings)),
      Stream.tap((finding) => (json ? Effect.void : out.line(lineOf(finding)))),
      Stream.runCollect,
      Effect.map(Chunk.toReadonlyArray),
    )
    const hasNoFault = findings.every(({ level }) => level !== "fault")
    if (json) yield* out.json({ ok: hasNoFault, findings })
    if (!hasNoFault) return yield* new Failed({ exitCode: EXIT.transport })
  }).pipe(reportErrors(json)),
).pipe(
  Command.withDescription("Finds what keeps the service or an app from working, and says how to fix it."),
)
