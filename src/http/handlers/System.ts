import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect, Option } from "effect"
import { Clis } from "../../services/Clis.ts"
import { Readiness } from "../../services/Readiness.ts"
import { Api } from "../Api.ts"
import { makeDocsPage } from "../DocsPage.ts"
import { openApiDocument } from "../OpenApiDocument.ts"

export const SystemHandlers = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function* () {
    const clis = yield* Clis
    const readiness = yield* Readiness
    const docsPage = yield* makeDocsPage
    return handlers
      .handle("health", () =>
        Effect.map(clis.versions, ({ claude, acpx }) => ({
          ok: Option.isSome(claude),
          claude_present: Option.isSome(claude),
          claude_version: Option.getOrNull(claude),
          acpx_present: Option.isSome(acpx),
          acpx_version: Option.getOrNull(acpx),
        })),
      )
      .handle("live", () => Effect.succeed("ok\n"))
      .handle("ready", () =>
        Effect.map(readiness.checks, (checks) =>
          HttpServerResponse.text(
            checks.map(({ name, ok, detail }) => `${ok ? "ok" : "fail"} ${name}: ${detail}\n`).join(""),
            { status: checks.every(({ ok }) => ok) ? 200 : 503 },
          ),
        ),
      )
      .handle("openapi", () => Effect.succeed(openApiDocument))
      .handle("docs", ({ request }) => Effect.map(docsPage, (answer) => answer(request)))
  }),
)
