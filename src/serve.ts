import { Console, Effect, Layer } from "effect"
import { app } from "./app.ts"
import { findAgents } from "./infra/Agents.ts"
import * as Banner from "./infra/Banner.ts"
import { type AppConfig, explain, load } from "./infra/Config.ts"
import { namesInEnvFile } from "./infra/EnvFile.ts"
import * as Logging from "./infra/Logging.ts"
import * as LogWriter from "./infra/LogWriter.ts"
import { unknownSettings } from "./infra/UnknownSettings.ts"

const isTerminal = process.stdout.isTTY === true

const log = LogWriter.make(process.stdout)
// What Node and the start print to stderr may be lost as well. Without a listener, its error would end the process.
process.stderr.on("error", () => {})

/** Prints what the operator has to fix, one line each, and ends the process with exit code 1. */
const exitWith = (...lines: ReadonlyArray<string>) =>
  Effect.zipRight(
    Effect.forEach(lines, (line) => Console.error(line)),
    Effect.sync(() => process.exit(1)),
  )

/** The message of the innermost cause: what the system reported, without the errors that wrap it. */
const messageOf = (cause: unknown): string => {
  const inner = (cause as { readonly cause?: unknown } | null)?.cause
  return inner === undefined ? String((cause as Error).message ?? cause) : messageOf(inner)
}

/**
 * Keeps a second signal from killing the process while it ends its runs. The framework listens for the first one only; a
 * second one comes from an impatient Ctrl-C, or from npm in addition to the terminal's. SIGHUP, of a terminal that was
 * closed, stops the service like Ctrl-C.
 */
const ignoreRepeatedSignals = Effect.sync(() => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {})
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
})

const warnOfUnknownSettings = Effect.suspend(() =>
  Effect.forEach(unknownSettings(Object.keys(process.env), namesInEnvFile()), (line) =>
    Effect.logWarning(line),
  ),
)

/** An embedder may need no sessions, so only the start of the service tells of it. */
const warnOfMissingAgents = ({ agents }: AppConfig) =>
  Effect.flatMap(findAgents(agents), ({ missing }) =>
    Effect.forEach(missing, ([name, reason]) =>
      Effect.logWarning(`CLAWDFORGE_AGENTS: no sessions with ${name}: it ${reason}`),
    ),
  )

/**
 * Runs the service with the settings of the environment until it is interrupted. If it cannot start for a reason that the
 * operator can fix, prints that reason and exits with code 1; other failures are bugs, and are logged.
 */
export const serve = Effect.all([ignoreRepeatedSignals, warnOfUnknownSettings]).pipe(
  Effect.zipRight(load),
  Effect.tap(warnOfMissingAgents),
  Effect.flatMap((config) => Layer.launch(Layer.provide(Banner.layer(isTerminal), app(config)))),
  Effect.catchTags({
    NoWayIn: ({ host }) =>
      exitWith(
        `ADMIN_BOOTSTRAP_TOKEN: unset while BIND_HOST is ${host} and no app token exists; expected a secret of your own of at least 32 characters`,
      ),
    DataDirTaken: ({ dir }) =>
      exitWith(`DATA_DIR: another clawdforge is at work on ${dir}; each needs one of its own`),
    ServeError: ({ cause }) => exitWith(`cannot listen: ${String((cause as Error).message ?? cause)}`),
    StorageFailed: ({ during, cause }) =>
      exitWith(`${during} failed (see DATA_DIR, DB_PATH, RUNS_DIR, FILES_DIR): ${messageOf(cause)}`),
  }),
  Effect.catchIf(
    (error) => "_op" in error,
    (error) => exitWith(...explain(error)),
  ),
  Effect.withTracerEnabled(false),
  Effect.provide(Logging.layer(log, isTerminal)),
)
