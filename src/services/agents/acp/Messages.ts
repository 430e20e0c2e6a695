import type { Usage } from "../../../domain/Run.ts"
import type { AcpMessage } from "../AcpxClient.ts"

/** What the messages of a turn say. An agent may send anything: nothing here trusts a shape. */

const recordOf = (value: unknown): AcpMessage =>
  typeof value === "object" && value !== null ? (value as AcpMessage) : {}

/** The session that a message is about, if it says so. */
export const sessionOf = (message: AcpMessage): unknown => recordOf(message["params"])["sessionId"]

/** Of a result that ends a turn: why it ended. */
export const stopReasonOf = (message: AcpMessage): string | undefined => {
  const reason = recordOf(message["result"])["stopReason"]
  return typeof reason === "string" ? reason : undefined
}

const ANSWERS = new Set(["agent_message_chunk", "agent_thought_chunk", "tool_call", "plan"])

/** Whether the agent has begun to answer: what it tells of itself before that is no answer. */
export const isAnswer = (message: AcpMessage): boolean =>
  ANSWERS.has(String(recordOf(recordOf(message["params"])["update"])["sessionUpdate"]))

/** How much text the agent answered in this message. */
export const answerCharsOf = (message: AcpMessage): number => {
  if (message["method"] !== "session/update") return 0
  const update = recordOf(recordOf(message["params"])["update"])
  const text = recordOf(update["content"])["text"]
  return update["sessionUpdate"] === "agent_message_chunk" && typeof text === "string" ? text.length : 0
}

const count = (value: unknown): number => (typeof value === "number" && value >= 0 ? value : 0)

/** Tokens, if the result has them. */
export const usageOf = (message: AcpMessage): Usage | null => {
  const usage = recordOf(message["result"])["usage"]
  if (typeof usage !== "object" || usage === null) return null
  const tokens = usage as AcpMessage
  return {
    input_tokens: count(tokens["inputTokens"]),
    output_tokens: count(tokens["outputTokens"]),
    cache_creation_input_tokens: count(tokens["cachedWriteTokens"]),
    cache_read_input_tokens: count(tokens["cachedReadTokens"]),
  }
}
