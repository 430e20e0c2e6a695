import { textOf } from "../client/Session.ts"

/** The words among a stream's messages: what the model writes, piece by piece. Anything may come, and most is nothing. */

type Fields = Readonly<Record<string, unknown>>

const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? (value as Fields) : {}

/** What parts a message of the model from the one before. */
export const BREAK = "\n"

/** Of a line of the CLI: a piece of what the model writes. What a helper of the model's says is none. */
export const ofClaude = (message: unknown): string => {
  const line = fieldsOf(message)
  if (line["parent_tool_use_id"] != null) return ""
  const event = fieldsOf(line["event"])
  if (event["type"] === "message_start") return BREAK
  const delta = fieldsOf(event["delta"])
  const isPiece = event["type"] === "content_block_delta" && delta["type"] === "text_delta"
  return isPiece && typeof delta["text"] === "string" ? delta["text"] : ""
}

/** Of an agent's message: a piece of the answer. */
export const ofAgent = (message: unknown): string => textOf([message])
