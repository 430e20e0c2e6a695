import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { KnownQuery } from "./KnownQuery.ts"
import { Schema } from "effect"
import { LoginState } from "../../domain/Login.ts"

const Health = Schema.Struct({
  ok: Schema.Boolean.annotations({ description: "False when a CLI that is needed is missing." }),
  claude_present: Schema.Boolean,
  claude_version: Schema.NullOr(Schema.String),
  acpx_present: Schema.Boolean,
  acpx_version: Schema.NullOr(Schema.String),
  open_sessions: Schema.Int.annotations({
    description: "Of all apps; the last number that is known.",
    examples: [3],
  }),
  /** Older services do not say it. */
  login: Schema.optional(
    LoginState.annotations({
      description:
        "What is known of the login of `claude`: `missing` also if the provider does not accept it, `limited` if a limit of it is reached, `expiring` if it ends within a day.",
      examples: ["ok"],
    }),
  ),
}).annotations({
  identifier: "Health",
  examples: [
    {
      ok: true,
      claude_present: true,
      claude_version: "2.1.316 (Claude Code)",
      acpx_present: true,
      acpx_version: "0.19.1",
      open_sessions: 3,
      login: "ok",
    },
  ],
})

const Alive = HttpApiSchema.Text().annotations({
  description: "The process is up; nothing else is looked at.",
  examples: ["ok\n"],
})

const Ready = HttpApiSchema.Text().annotations({
  description:
    "A line for each check: `ok`, `warn` (the service works, but look) or `fail`, its name, what an operator should know.",
  examples: ["ok service: takes work\nok database: can be written to\nok disk: 54321 MiB free\n"],
})

const Page = HttpApiSchema.Text({ contentType: "text/html" }).annotations({
  description: "A page that contacts nobody but this service.",
})

export class SystemGroup extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("health", "/healthz")
      .addSuccess(Health)
      .annotate(OpenApi.Summary, "Which CLIs are there, and how many sessions are open; always status 200"),
  )
  .add(
    HttpApiEndpoint.get("live", "/livez")
      .addSuccess(Alive)
      .annotate(OpenApi.Summary, "Whether the process is up"),
  )
  .add(
    HttpApiEndpoint.get("ready", "/readyz")
      .addSuccess(Ready)
      .addSuccess(Ready, { status: 503 })
      .annotate(OpenApi.Summary, "Whether the service can do its work: 200 or 503, a line for each check"),
  )
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json")
      .addSuccess(Schema.Unknown.annotations({ description: "This document, OpenAPI 3.1." }))
      .annotate(OpenApi.Summary, "This API, as OpenAPI 3.1"),
  )
  .add(
    HttpApiEndpoint.get("docs", "/docs")
      .addSuccess(Page)
      .addSuccess(HttpApiSchema.Empty(304).annotations({ description: "The page that the browser has." }))
      .annotate(OpenApi.Summary, "This API, as a page to read and to try it from"),
  )
  .middleware(KnownQuery)
  .annotate(OpenApi.Description, "The service itself. No token needed.") {}
