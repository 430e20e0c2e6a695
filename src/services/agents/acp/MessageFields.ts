import { fieldsOf } from "../../../domain/Json.ts"
import type { Usage } from "../../../domain/Run.ts"
import type { AcpMessage } from "../AcpxClient.ts"

/** Reads single fields of the messages of a turn. An agent may send anything, so no message needs to have any shape. */

/** The `sessionId` of a notification or request; undefined when it has none. */
export const sessionOf = (message: AcpMessage): unknown => fieldsOf(message["params"])["sessionId"]

/** The stop reason of the result that ends a turn; undefined in any other message. */
export const stopReasonOf = (message: AcpMessage): string | undefined => {
  const reason = fieldsOf(message["result"])["stopReason"]
  return typeof reason === "string" ? reason : undefined
}

/**
 * The message of `claude` itself that its adapter passes on, about the provider; undefined in any other message. It is
 * for the service, and no part of a turn.
 */
export const claudeMessageOf = (message: AcpMessage): unknown =>
  message["method"] === "_claude/sdkMessage" ? fieldsOf(message["params"])["message"] : undefined

/** Updates that belong to an answer. Others, such as a list of commands, describe the agent itself. */
const ANSWER_UPDATES = new Set(["agent_message_chunk", "agent_thought_chunk", "tool_call", "plan"])

/** Whether a message is part of an answer to a prompt. */
export const isAnswer = (message: AcpMessage): boolean =>
  ANSWER_UPDATES.has(String(fieldsOf(fieldsOf(message["params"])["update"])["sessionUpdate"]))

/** The fields of the update in a notification. */
const updateOf = (message: AcpMessage) => fieldsOf(fieldsOf(message["params"])["update"])

/** What the whole session cost so far in US dollars, if the message says so. */
export const sessionCostOf = (message: AcpMessage): number | undefined => {
  const update = updateOf(message)
  const { amount, currency } = fieldsOf(update["cost"])
  const isCost = update["sessionUpdate"] === "usage_update" && currency === "USD"
  return isCost && typeof amount === "number" && amount >= 0 && Number.isFinite(amount) ? amount : undefined
}

/**
 * The model that answers, if the message says so. ACP has no field for it: Claude's adapter tells it with each
 * `usage_update`, and it and Codex' list the models with the result.
 */
export const modelOf = (message: AcpMessage): string | undefined => {
  const told = fieldsOf(updateOf(message)["_meta"])["_claude/model"]
  if (typeof told === "string") return told
  const quota = fieldsOf(fieldsOf(fieldsOf(message["result"])["_meta"])["quota"])
  const [first] = Array.isArray(quota["model_usage"]) ? (quota["model_usage"] as ReadonlyArray<unknown>) : []
  const listed = fieldsOf(first)["model"]
  return typeof listed === "string" ? listed : undefined
}

const count = (value: unknown): number => (typeof value === "number" && value >= 0 ? value : 0)

/** The token counts of the result that ends a turn; null when it has none. */
export const usageOf = (message: AcpMessage): Usage | null => {
  const usage = fieldsOf(message["result"])["usage"]
  if (typeof usage !== "object" || usage === null) return null
  const tokens = fieldsOf(usage)
  return {
    input_tokens: count(tokens["inputTokens"]),
    output_tokens: count(tokens["outputTokens"]),
    cache_creation_input_tokens: count(tokens["cachedWriteTokens"]),
    cache_read_input_tokens: count(tokens["cachedReadTokens"]),
  }
}
