import { ConfigError, Effect } from "effect"
import { ForgeError } from "../client/Errors.ts"
import { explain } from "../infra/Config.ts"
import { BackupFailed } from "../infra/sqlite/Backup.ts"
import { EXIT, Failed } from "./Exit.ts"
import { Output } from "./Output.ts"

const exitCodeOf = ({ status, code }: ForgeError): number => {
  if (code === "invalid_settings") return EXIT.usage
  if (status === undefined) return code === "invalid_request" ? EXIT.usage : EXIT.transport
  if (status === 401 || status === 403) return EXIT.auth
  // The service answers every failure with 400 or above: another status comes from something else.
  if (status < 400) return EXIT.transport
  return status < 500 ? EXIT.client : EXIT.server
}

/** What the user can do about a failure, by its code. */
const ADVICE: Readonly<Record<string, string>> = {
  connection_failed:
    "Is the service running? CLAWDFORGE_URL must be its address. `clawdforge doctor` looks for the cause.",
  unauthorized: "CLAWDFORGE_TOKEN must be an app's token, CLAWDFORGE_ADMIN_TOKEN the operator's token.",
  ip_not_allowed: "Neither ALLOW_CIDRS of the service nor the token's own list may leave out this machine.",
  origin_not_allowed:
    "The service does not know itself by the host name in CLAWDFORGE_URL: use its address, or add the name to its ALLOWED_HOSTS.",
}

const reportForgeError = (error: ForgeError, json: boolean) =>
  Effect.gen(function* () {
    const out = yield* Output
    const { code, message, status, requestId, retryable, retryAfterSecs, issues } = error
    yield* out.notice(`clawdforge: ${message}`)
    // Without a status the request was not sent; then the message has the issues already.
    for (const { path, message } of (status === undefined ? undefined : issues) ?? [])
      yield* out.notice(`  ${path.join(".")}: ${message}`)
    if (retryAfterSecs !== undefined) yield* out.notice(`Try again in ${retryAfterSecs} s.`)
    const advice = ADVICE[code]
    if (advice !== undefined) yield* out.notice(advice)
    const problem = { ok: false, error: message, code, status, request_id: requestId, retryable, issues }
    if (json) yield* out.json({ ...problem, retry_after_secs: retryAfterSecs })
    return yield* new Failed({ exitCode: exitCodeOf(error) })
  })

/** Prints a failure to stderr, and with `json` also to stdout as a problem. Fails with the exit code. */
export const reportErrors =
  (json: boolean) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, Failed, R | Output> =>
    Effect.catchAll(work, (error) => {
      if (error instanceof Failed) return Effect.fail(error)
      if (error instanceof ForgeError) return reportForgeError(error, json)
      return Effect.flatMap(Output, ({ notice }) =>
        Effect.zipRight(
          Effect.forEach(linesOf(error), (line) => notice(`clawdforge: ${line}`)),
          new Failed({ exitCode: error instanceof BackupFailed ? EXIT.transport : EXIT.usage }),
        ),
      )
    })

/** The messages of a bad setting, or of a file that cannot be read. */
const linesOf = (error: unknown): ReadonlyArray<string> => {
  if (ConfigError.isConfigError(error)) return explain(error)
  return [error instanceof Error ? error.message : String(error)]
}
