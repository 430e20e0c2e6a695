import { Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { explain, load } from "../../infra/Config.ts"
import { namesInEnvFile } from "../../infra/EnvFile.ts"
import { unknownSettings } from "../../infra/UnknownSettings.ts"
import { connection } from "../Connection.ts"
import { clis } from "../doctor/Clis.ts"
import { directories } from "../doctor/Directories.ts"
import { type Finding, fault, note, ok } from "../doctor/Finding.ts"
import { adminToken, allowlist, port } from "../doctor/Network.ts"
import { service } from "../doctor/Service.ts"
import { EXIT, Failed } from "../Exit.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { json } from "./Options.ts"

const from = Options.text("from").pipe(
  Options.withDescription("Also checks whether a caller with this address is admitted."),
  Options.optional,
)

/** Checks what a service would need if it were started on this machine now. */
const checkMachine = (caller: Option.Option<string>) =>
  load.pipe(
    Effect.flatMap((config) =>
      Effect.all([clis(config), directories(config), Effect.map(port(config), Array.of)], {
        concurrency: "unbounded",
      }).pipe(
        Effect.map(
          (findings): ReadonlyArray<Finding> => [
            ok("settings", "can be read"),
            ...unknownSettings(Object.keys(process.env), namesInEnvFile()).map((line) =>
              note("settings", line),
            ),
            ...findings.flat(),
            ...allowlist(config, caller),
            adminToken(config),
          ],
        ),
      ),
    ),
    Effect.catchAll((error) =>
      Effect.succeed(
        explain(error).map((line) => fault("settings", line, "correct it in the environment or in .env")),
      ),
    ),
  )

const MARKS = { ok: "ok   ", note: "note ", fault: "FAULT" } as const

const lineOf = ({ level, name, detail, remedy }: Finding): string =>
  `${MARKS[level]}  ${name.padEnd(9)}  ${detail}${remedy === null ? "" : `\n                  → ${remedy}`}`

/**
 * Checks what can keep a service or an app from working: this machine, if the service is to run on it; and the service
 * itself, if it is running. Exits with 0 if there is no fault.
 */
export const doctor = Command.make("doctor", { json, from }, ({ json, from }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const { isLocal, settings } = yield* connection
    const here = isLocal ? yield* checkMachine(from) : []
    // A local service that is not started yet is no fault.
    const isUp = !isLocal || here.some(({ name, level }) => name === "port" && level === "note")
    const findings = [
      ok("node", `Node ${process.versions.node}`),
      ...here,
      ...(isUp ? yield* service(settings) : []),
    ]
    const hasNoFault = findings.every(({ level }) => level !== "fault")
    if (json) yield* out.json({ ok: hasNoFault, findings })
    else yield* Effect.forEach(findings, (finding) => out.line(lineOf(finding)))
    if (!hasNoFault) return yield* new Failed({ exitCode: EXIT.transport })
  }).pipe(reportErrors(json)),
).pipe(
  Command.withDescription("Finds what keeps the service or an app from working, and says how to fix it."),
)
