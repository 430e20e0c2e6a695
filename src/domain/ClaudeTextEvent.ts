import { fieldsOf } from "./Json.ts"

/** What one message of the CLI's stream says about the text that the model writes. */
export type TextEvent =
  /** The model begins a new message. */
  | { readonly _tag: "MessageStart" }
  /** The next piece of the newest message. */
  | { readonly _tag: "Delta"; readonly text: string }
  /** The text of a whole message. It may have come in deltas before. */
  | { readonly _tag: "WholeMessage"; readonly text: string }

/**
 * Reads the text from a message of `claude`'s stream-json output. Undefined for a message without text, and for every
 * message of a subagent, whose text is no answer. The CLI may print anything, so the message needs no shape.
 */
export const textEventOf = (message: unknown): TextEvent | undefined => {
  const fields = fieldsOf(message)
  if (fields["parent_tool_use_id"] != null) return undefined
  switch (fields["type"]) {
    case "stream_event":
      return streamedText(fieldsOf(fields["event"]))
    case "assistant":
      return wholeText(fieldsOf(fields["message"])["content"])
    default:
      return undefined
  }
}

const streamedText = (event: Readonly<Record<string, unknown>>): TextEvent | undefined => {
  if (event["type"] === "message_start") return { _tag: "MessageStart" }
  const { type, text } = fieldsOf(event["delta"])
  return event["type"] === "content_block_delta" && type === "text_delta" && typeof text === "string"
    ? { _tag: "Delta", text }
    : undefined
}

const wholeText = (content: unknown): TextEvent | undefined => {
  const texts = Array.isArray(content) ? content.map((block) => fieldsOf(block)["text"]) : []
  const text = texts.filter((part) => typeof part === "string").join("")
  return text === "" ? undefined : { _tag: "WholeMessage", text }
}
