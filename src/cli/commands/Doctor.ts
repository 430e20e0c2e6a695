import { Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { explain, load } from "../../infra/Config.ts"
import { connection } from "../Connection.ts"
import { clis } from "../doctor/Clis.ts"
import { directories } from "../doctor/Directories.ts"
import { type Finding, fault, ok } from "../doctor/Finding.ts"
import { adminToken, allowlist, port } from "../doctor/Network.ts"
import { service } from "../doctor/Service.ts"
import { EXIT, Failed } from "../Exit.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { json } from "./Options.ts"

const from = Options.text("from").pipe(
  Options.withDescription("The address of a caller: is it let in?"),
  Options.optional,
)

/** What the service needs of this machine, as it would find it if it were started here and now. */
const machine = (caller: Option.Option<string>) =>
  load.pipe(
    Effect.flatMap((config) =>
      Effect.all([clis(config), directories(config), Effect.map(port(config), Array.of)], {
        concurrency: "unbounded",
      }).pipe(
        Effect.map(
          (found): ReadonlyArray<Finding> => [
            ok("settings", "can be read"),
            ...found.flat(),
            ...allowlist(config, caller),
            adminToken(config),
          ],
        ),
      ),
    ),
    Effect.catchAll((error) =>
      Effect.succeed(
        explain(error).map((line) => fault("settings", line, "mend it in the environment or in .env")),
      ),
    ),
  )

const MARKS = { ok: "ok   ", note: "note ", fault: "FAULT" } as const

const lineOf = ({ level, name, detail, remedy }: Finding): string =>
  `${MARKS[level]}  ${name.padEnd(9)}  ${detail}${remedy === null ? "" : `\n                  → ${remedy}`}`

/**
 * Looks at everything that keeps a service, or an app of one, from working: the machine, if the service is to be on it,
 * else the way to it. Exit code 0: no fault.
 */
export const doctor = Command.make("doctor", { json, from }, ({ json, from }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const { isLocal, settings } = yield* connection
    const here = isLocal ? yield* machine(from) : []
    // What nobody listens at is no fault of a service that is to be started.
    const isUp = !isLocal || here.some(({ name, level }) => name === "port" && level === "note")
    const findings = [
      ok("node", `Node ${process.versions.node}`),
      ...here,
      ...(isUp ? yield* service(settings) : []),
    ]
    const isWell = findings.every(({ level }) => level !== "fault")
    if (json) yield* out.json({ ok: isWell, findings })
    else yield* Effect.forEach(findings, (finding) => out.line(lineOf(finding)))
    if (!isWell) return yield* new Failed({ exitCode: EXIT.transport })
  }).pipe(reportErrors(json)),
).pipe(
  Command.withDescription("Looks for what keeps the service from working, and says what to do about it."),
)
