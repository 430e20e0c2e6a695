import { ConfigError, Effect } from "effect"
import { ForgeError } from "../client/Errors.ts"
import { explain } from "../infra/Config.ts"
import { EXIT, Failed } from "./Exit.ts"
import { Output } from "./Output.ts"

const exitCodeOf = ({ status, code }: ForgeError): number => {
  if (code === "invalid_settings") return EXIT.usage
  if (status === undefined) return code === "invalid_request" ? EXIT.usage : EXIT.transport
  if (status === 401 || status === 403) return EXIT.auth
  // What is no failure of the service's own is somebody else's answer.
  if (status < 400) return EXIT.transport
  return status < 500 ? EXIT.client : EXIT.server
}

/** What to do about a failure, where that is always the same. */
const ADVICE: Readonly<Record<string, string>> = {
  connection_failed: "Is the service up? CLAWDFORGE_URL says where it is; `clawdforge doctor` looks.",
  unauthorized: "CLAWDFORGE_TOKEN has to be an app's token, CLAWDFORGE_ADMIN_TOKEN the operator's.",
  ip_not_allowed: "The service's ALLOW_CIDRS, or the token's own list, leaves this machine out.",
  not_logged_in:
    "On the service's machine: npm run claude -- /login, or docker exec -it clawdforge claude /login.",
}

const say = (error: ForgeError, json: boolean) =>
  Effect.gen(function* () {
    const out = yield* Output
    const { code, message, status, requestId, retryable, retryAfterSecs, issues } = error
    yield* out.remark(`clawdforge: ${message}`)
    // A request that was not sent has them in its sentence.
    for (const { path, message } of (status === undefined ? undefined : issues) ?? [])
      yield* out.remark(`  ${path.join(".")}: ${message}`)
    if (retryAfterSecs !== undefined) yield* out.remark(`Try again in ${retryAfterSecs} s.`)
    const advice = ADVICE[code]
    if (advice !== undefined) yield* out.remark(advice)
    const told = { ok: false, error: message, code, status, request_id: requestId, retryable, issues }
    if (json) yield* out.json({ ...told, retry_after_secs: retryAfterSecs })
    return yield* new Failed({ exitCode: exitCodeOf(error) })
  })

/** Says what went wrong, to people on stderr and, with `json`, to programs on stdout, and ends with its exit code. */
export const reportErrors =
  (json: boolean) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, Failed, R | Output> =>
    Effect.catchAll(work, (error) => {
      if (error instanceof Failed) return Effect.fail(error)
      if (error instanceof ForgeError) return say(error, json)
      return Effect.flatMap(Output, ({ remark }) =>
        Effect.zipRight(
          Effect.forEach(linesOf(error), (line) => remark(`clawdforge: ${line}`)),
          new Failed({ exitCode: EXIT.usage }),
        ),
      )
    })

/** Of a bad setting, or of a file that cannot be read. */
const linesOf = (error: unknown): ReadonlyArray<string> => {
  if (ConfigError.isConfigError(error)) return explain(error)
  return [error instanceof Error ? error.message : String(error)]
}
