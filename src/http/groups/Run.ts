import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { expected } from "../../domain/Failure.ts"
import {
  Effort,
  fitsUtf8,
  Model,
  Prompt,
  SystemMode,
  SystemPrompt,
  TimeoutSecs,
  Usage,
} from "../../domain/Run.ts"
import { IdempotencyHeaders } from "./IdempotencyHeaders.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import { AppAuth } from "./Auth.ts"
import {
  ALSO_STREAMS,
  body,
  Cancelled,
  Deltas,
  FileTokens,
  Include,
  OnDisconnect,
  optional,
  query,
  RunPath,
} from "./Wire.ts"

const OUTPUT_SCHEMA_MAX_BYTES = 64 * 1024

const isSmall = (value: unknown): boolean => {
  try {
    return fitsUtf8(JSON.stringify(value), OUTPUT_SCHEMA_MAX_BYTES)
  } catch {
    // `JSON.stringify` overflows the stack on very deep nesting.
    return false
  }
}

const OutputSchema = Schema.Record({ key: Schema.String, value: Schema.Unknown }).pipe(
  Schema.filter(isSmall),
  Schema.annotations({
    message: expected("must be a JSON Schema object of at most 64 KiB"),
    description: "A JSON Schema that the answer must fit; `result` is then that value.",
    examples: [{ type: "object", properties: { qty: { type: "number" } }, required: ["qty"] }],
  }),
)

const RunPayload = body({
  prompt: Prompt,
  model: optional(Model),
  system: optional(SystemPrompt),
  system_mode: optional(SystemMode),
  effort: optional(Effort),
  files: optional(FileTokens),
  timeout_secs: optional(TimeoutSecs),
  output_schema: optional(OutputSchema),
  on_disconnect: optional(OnDisconnect),
}).annotations({
  identifier: "RunRequest",
  examples: [{ prompt: "Parse '2 cups of flour' into JSON with qty and unit.", timeout_secs: 60 }],
})

export const RunAnswer = Schema.Struct({
  ok: Schema.Literal(true),
  result: Schema.Unknown.annotations({
    description:
      "The answer: a value if the model's text is JSON (perhaps in one code fence), else the text.",
    examples: [{ qty: 2, unit: "cup" }],
  }),
  duration_ms: Schema.Int.annotations({
    description: "From start to answer, without the queue.",
    examples: [4321],
  }),
  stop_reason: Schema.String.annotations({ examples: ["end_turn"] }),
  usage: Schema.optional(Schema.NullOr(Usage)),
  cost_usd: Schema.optional(Schema.NullOr(Schema.Number)),
  model: Schema.optional(Schema.NullOr(Schema.String)),
  session_id: Schema.optional(Schema.NullOr(Schema.String)),
}).annotations({
  identifier: "RunAnswer",
  description: "The answer. `X-Run-Id` carries the run's id.",
  examples: [{ ok: true, result: { qty: 2, unit: "cup" }, duration_ms: 4321, stop_reason: "end_turn" }],
})

export class RunGroup extends HttpApiGroup.make("run")
  .add(
    HttpApiEndpoint.post("run", "/run")
      .setPayload(RunPayload)
      .setUrlParams(query({ ...Include, ...Deltas }))
      .setHeaders(IdempotencyHeaders)
      .addSuccess(RunAnswer)
      .addError(
        problems(
          "FileNotFound",
          "IdempotencyConflict",
          "AnswerGone",
          "RunLost",
          "RunDefect",
          "ExecutableMissing",
          "ProviderRefused",
          "ProcessKilled",
          "ProcessFailed",
          "OutputGarbled",
          "AnswerMismatch",
          "NotLoggedIn",
          "RateLimited",
          "ProviderOverloaded",
          "ModelNotFound",
          "BillingRefused",
          "PromptTooLong",
          "Overloaded",
          "ShuttingDown",
          "RunTimedOut",
          "StorageFailed",
          "InvalidRequest",
          "BodyTooLarge",
          "RequestTooSlow",
          "UnsupportedMediaType",
        ),
      )
      .annotate(OpenApi.Summary, "Ask once")
      .annotate(
        OpenApi.Description,
        "Puts one prompt to the agent and waits for the answer; streams it, event by event, to a client that prefers `text/event-stream`. Hanging up cancels the run, unless it is streamed or has an `Idempotency-Key`; `on_disconnect` says otherwise.",
      )
      .annotateContext(ALSO_STREAMS),
  )
  .add(
    HttpApiEndpoint.post("cancelRun", "/runs/:id/cancel")
      .setPath(RunPath)
      .addSuccess(Cancelled)
      .addError(problems("RunNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Cancel a run or a turn; again is fine")
      .annotate(
        OpenApi.Description,
        "It ends with what it has, and `stop_reason` is `cancelled`. Answers when nothing of it is left.",
      ),
  )
  .middleware(KnownQuery)
  .middleware(AppAuth)
  .annotate(OpenApi.Description, "One-shot prompts.") {}
