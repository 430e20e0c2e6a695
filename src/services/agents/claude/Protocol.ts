import { Option, Schema } from "effect"
import { fieldsOf, nullish } from "../../../domain/Json.ts"
import type { ClaudeRequest } from "./ClaudeRequest.ts"

/**
 * The parts of the CLI's bidirectional stream-json that are used here: one JSON object a line. None of it is documented
 * as stable, so every field that is read is optional.
 */

// --- to the CLI ---------------------------------------------------------------------------------------------

const line = (message: unknown): string => `${JSON.stringify(message)}\n`

const control = (id: string, request: Readonly<Record<string, unknown>>): string =>
  line({ type: "control_request", request_id: id, request })

/** The id of the control request that sets the model. Its answer says whether the model exists. */
export const MODEL_REQUEST = "model"
export const INITIALIZE_REQUEST = "initialize"

/** All lines that are sent before the prompt. The CLI uses only the first `initialize` of a process. */
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

/**
 * The line with the prompt. The CLI would run a text that begins with `/` as a command; a line break before it prevents
 * that.
 */
export const userMessage = (prompt: string): string =>
  line({ type: "user", message: { role: "user", content: prompt.startsWith("/") ? `\n${prompt}` : prompt } })

// --- from the CLI -------------------------------------------------------------------------------------------

const ControlResponse = Schema.Struct({
  type: Schema.Literal("control_response"),
  response: Schema.Struct({
    subtype: nullish(Schema.String),
    request_id: nullish(Schema.String),
    error: nullish(Schema.String),
    error_code: nullish(Schema.String),
  }),
})

/** The last message of a turn. `is_error` says whether it failed; `subtype` is "success" also for API errors. */
export const ResultMessage = Schema.Struct({
  type: Schema.Literal("result"),
  is_error: nullish(Schema.Boolean),
  subtype: nullish(Schema.String),
  result: nullish(Schema.String),
  structured_output: Schema.optional(Schema.Unknown),
  stop_reason: nullish(Schema.String),
  api_error_status: nullish(Schema.Number),
  api_error: nullish(Schema.String),
  errors: nullish(Schema.Array(Schema.String)),
  session_id: nullish(Schema.String),
  total_cost_usd: nullish(Schema.Number),
  usage: nullish(
    Schema.Struct({
      input_tokens: nullish(Schema.Number),
      output_tokens: nullish(Schema.Number),
      cache_creation_input_tokens: nullish(Schema.Number),
      cache_read_input_tokens: nullish(Schema.Number),
    }),
  ),
  modelUsage: nullish(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
})
export type ResultMessage = typeof ResultMessage.Type

const OtherMessage = Schema.Struct({ type: Schema.String })

export const ClaudeMessage = Schema.Union(ControlResponse, ResultMessage, OtherMessage)
export type ClaudeMessage = typeof ClaudeMessage.Type

/** A line of stdout that is a message of the protocol. */
export interface ClaudeLine {
  readonly message: ClaudeMessage
  /** The whole parsed line; `message` has only the fields that are read here. */
  readonly json: unknown
  /** The line as JSON text without a line break. */
  readonly text: string
}

const parse = Option.liftThrowable(JSON.parse as (text: string) => unknown)
const decode = Schema.decodeUnknownOption(ClaudeMessage)

/** Decodes a line of stdout. None when it is no message of the protocol. */
export const decodeLine = (line: string): Option.Option<ClaudeLine> =>
  Option.flatMap(parse(line), (json) =>
    Option.map(decode(json), (message) => ({
      message,
      json,
      // JSON allows a carriage return between two values, but an event stream takes it for a line break.
      text: line.includes("\r") ? JSON.stringify(json) : line,
    })),
  )

/** Whether clients may see a message. Control messages are internal, and have details of the login. */
export const isShown = ({ message }: ClaudeLine): boolean => !message.type.startsWith("control_")

/** Whether a message is a part of the model's answer. A message that tells a refusal of the provider is none. */
export const isOfAnswer = ({ message, json }: ClaudeLine): boolean =>
  message.type === "stream_event" || (message.type === "assistant" && fieldsOf(json)["error"] === undefined)

/** Whether the CLI confirms the model. It gets the prompt then. */
export const isModelConfirmed = ({ message }: ClaudeLine): boolean =>
  isControlResponse(message) &&
  message.response.request_id === MODEL_REQUEST &&
  message.response.subtype !== "error"

export const isResult = (message: ClaudeMessage): message is ResultMessage => message.type === "result"
export const isControlResponse = (message: ClaudeMessage): message is typeof ControlResponse.Type =>
  message.type === "control_response"
