import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Duration, Effect, Option, Ref } from "effect"
import { Clis } from "../../services/agents/Clis.ts"
import { LoginMonitor } from "../../services/upkeep/LoginMonitor.ts"
import { type Check, Readiness } from "../../services/upkeep/Readiness.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { Api } from "../Api.ts"
import { makeDocsPage } from "../DocsPage.ts"
import { openApiDocument } from "../OpenApiDocument.ts"

/** How long `health` waits for the number of open sessions. Then it answers with the last number that it knows. */
const COUNT_TIMEOUT = Duration.seconds(1)

const lineOf = ({ name, ok, isWarning = false, detail }: Check): string =>
  `${ok ? (isWarning ? "warn" : "ok") : "fail"} ${name}: ${detail}\n`

export const SystemHandlers = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function* () {
    const clis = yield* Clis
    const logins = yield* LoginMonitor
    const readiness = yield* Readiness
    const pool = yield* SessionPool
    const docsPage = yield* makeDocsPage
    const lastCount = yield* Ref.make(0)
    const openSessions = pool.openSessions.pipe(
      Effect.tap((count) => Ref.set(lastCount, count)),
      Effect.disconnect,
      Effect.timeout(COUNT_TIMEOUT),
      Effect.orElse(() => Ref.get(lastCount)),
    )
    return handlers
      .handle("health", () =>
        Effect.map(Effect.all([clis.versions, openSessions, logins.status]), ([versions, open, login]) => ({
          ok: clis.needed.every((cli) => Option.isSome(versions[cli])),
          claude_present: Option.isSome(versions.claude),
          claude_version: Option.getOrNull(versions.claude),
          acpx_present: Option.isSome(versions.acpx),
          acpx_version: Option.getOrNull(versions.acpx),
          open_sessions: open,
          login: login.state,
        })),
      )
      .handle("live", () => Effect.succeed("ok\n"))
      .handle("ready", () =>
        Effect.map(readiness.checks, (checks) =>
          HttpServerResponse.text(checks.map(lineOf).join(""), {
            status: checks.every(({ ok }) => ok) ? 200 : 503,
          }),
        ),
      )
      .handle("openapi", () => Effect.succeed(openApiDocument))
      .handle("docs", ({ request }) => Effect.map(docsPage, (answer) => answer(request)))
  }),
)
