import { Option, Schema } from "effect"
import type { ClaudeRequest } from "./Request.ts"

/**
 * The CLI's bidirectional stream-json, one JSON object a line, as far as we use it. Nothing of it is documented
 * as stable, so every field we read is optional.
 */

// --- to the CLI ---------------------------------------------------------------------------------------------

const line = (message: unknown): string => `${JSON.stringify(message)}\n`

const control = (id: string, request: Readonly<Record<string, unknown>>): string =>
  line({ type: "control_request", request_id: id, request })

/** The control request whose answer says whether the model exists. */
export const MODEL_REQUEST = "model"
export const INITIALIZE_REQUEST = "initialize"

/** Everything that comes before the prompt. Only the first `initialize` of a process counts. */
export const preamble = (request: ClaudeRequest): string => {
  const { system, systemMode, outputSchema, effort } = request
  return [
    control(INITIALIZE_REQUEST, {
      subtype: "initialize",
      ...(system !== undefined && systemMode === "replace" ? { systemPrompt: [system] } : {}),
      ...(system !== undefined && systemMode === "append" ? { appendSystemPrompt: system } : {}),
      ...(outputSchema === undefined ? {} : { jsonSchema: outputSchema }),
    }),
    effort === undefined
      ? ""
      : control("effort", { subtype: "apply_flag_settings", settings: { effortLevel: effort } }),
    control(MODEL_REQUEST, { subtype: "set_model", model: request.model }),
  ].join("")
}

/** The user message. A text that begins with `/` would be run as a command of the CLI: a line break prevents it. */
export const userMessage = (prompt: string): string =>
  line({ type: "user", message: { role: "user", content: prompt.startsWith("/") ? `\n${prompt}` : prompt } })

// --- from the CLI -------------------------------------------------------------------------------------------

const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))

const ControlResponse = Schema.Struct({
  type: Schema.Literal("control_response"),
  response: Schema.Struct({
    subtype: maybe(Schema.String),
    request_id: maybe(Schema.String),
    error: maybe(Schema.String),
    error_code: maybe(Schema.String),
  }),
})

/** The last word of a turn. `is_error` says whether it failed; `subtype` is "success" for API errors too. */
export const ResultMessage = Schema.Struct({
  type: Schema.Literal("result"),
  is_error: maybe(Schema.Boolean),
  subtype: maybe(Schema.String),
  result: maybe(Schema.String),
  structured_output: Schema.optional(Schema.Unknown),
  stop_reason: maybe(Schema.String),
  api_error_status: maybe(Schema.Number),
  api_error: maybe(Schema.String),
  errors: maybe(Schema.Array(Schema.String)),
  session_id: maybe(Schema.String),
  total_cost_usd: maybe(Schema.Number),
  usage: maybe(
    Schema.Struct({
      input_tokens: maybe(Schema.Number),
      output_tokens: maybe(Schema.Number),
      cache_creation_input_tokens: maybe(Schema.Number),
      cache_read_input_tokens: maybe(Schema.Number),
    }),
  ),
  modelUsage: maybe(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
})
export type ResultMessage = typeof ResultMessage.Type

const OtherMessage = Schema.Struct({ type: Schema.String })

export const ClaudeMessage = Schema.Union(ControlResponse, ResultMessage, OtherMessage)
export type ClaudeMessage = typeof ClaudeMessage.Type

/** A line of stdout that is of the protocol. */
export interface ClaudeLine {
  readonly message: ClaudeMessage
  /** All of it. */
  readonly json: unknown
  /** As it came: JSON without a line break. */
  readonly text: string
}

const parse = Option.liftThrowable(JSON.parse as (text: string) => unknown)
const decode = Schema.decodeUnknownOption(ClaudeMessage)

/** One line of stdout; none if it is not of the protocol. */
export const decodeLine = (line: string): Option.Option<ClaudeLine> =>
  Option.flatMap(parse(line), (json) =>
    Option.map(decode(json), (message) => ({
      message,
      json,
      // A carriage return between two values is white space to JSON, and a line break to others.
      text: line.includes("\r") ? JSON.stringify(json) : line,
    })),
  )

/** What it says of the prompt. The rest is between us and it, and tells of the login. */
export const isShown = ({ message }: ClaudeLine): boolean => !message.type.startsWith("control_")

export const isResult = (message: ClaudeMessage): message is ResultMessage => message.type === "result"
export const isControlResponse = (message: ClaudeMessage): message is typeof ControlResponse.Type =>
  message.type === "control_response"
