import { Console, Effect, Layer } from "effect"
import { app } from "./app.ts"
import * as Banner from "./infra/Banner.ts"
import { explain, load } from "./infra/Config.ts"
import * as Logging from "./infra/Logging.ts"

const isTerminal = process.stdout.isTTY === true

/** What the operator can mend is said in a line each; anything else is a bug, and is logged as one. */
const refuse = (...lines: ReadonlyArray<string>) =>
  Effect.zipRight(
    Effect.forEach(lines, (line) => Console.error(line)),
    Effect.sync(() => process.exit(1)),
  )

/** The innermost message: what the system said, without the stack of who heard it. */
const messageOf = (cause: unknown): string => {
  const inner = (cause as { readonly cause?: unknown } | null)?.cause
  return inner === undefined ? String((cause as Error).message ?? cause) : messageOf(inner)
}

/**
 * The framework listens for the first of these only; the next (an impatient Ctrl-C, or npm's own beside the terminal's)
 * would kill us in the middle of ending what runs. A terminal that is closed stops the service as Ctrl-C does.
 */
const holdSignals = Effect.sync(() => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {})
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
})

/** The whole service, as the environment sets it, until it is interrupted. What keeps it from starting ends the process. */
export const serve = Effect.zipRight(holdSignals, load).pipe(
  Effect.flatMap((config) => Layer.launch(Layer.provide(Banner.layer(isTerminal), app(config)))),
  Effect.catchTags({
    NoWayIn: ({ host }) =>
      refuse(
        `ADMIN_BOOTSTRAP_TOKEN: unset while BIND_HOST is ${host} and no app token exists; expected a secret of your own of at least 32 characters`,
      ),
    DataDirTaken: ({ dir }) =>
      refuse(`DATA_DIR: another clawdforge is at work on ${dir}; each needs one of its own`),
    ServeError: ({ cause }) => refuse(`cannot listen: ${String((cause as Error).message ?? cause)}`),
    StorageFailed: ({ during, cause }) =>
      refuse(`${during} failed (see DATA_DIR, DB_PATH, RUNS_DIR, FILES_DIR): ${messageOf(cause)}`),
  }),
  Effect.catchIf(
    (error) => "_op" in error,
    (error) => refuse(...explain(error)),
  ),
  Effect.withTracerEnabled(false),
  Effect.provide(Logging.layer(isTerminal)),
)
