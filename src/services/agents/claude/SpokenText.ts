import type { ClaudeLine } from "./Protocol.ts"

/** The text that the model has written so far, of its newest message that has any. An agent may say anything. */
export class SpokenText {
  #text = ""
  #isNew = false

  get text(): string {
    return this.#text
  }

  /** Takes in the next line of the CLI's stream. */
  readonly hear = ({ message, json }: ClaudeLine): void => {
    const line = fieldsOf(json)
    // What a helper of the model's says is no answer.
    if (line["parent_tool_use_id"] != null) return
    if (message.type === "stream_event") this.#hearEvent(fieldsOf(line["event"]))
    if (message.type === "assistant") this.#hearWhole(fieldsOf(line["message"])["content"])
  }

  #hearEvent(event: Fields) {
    if (event["type"] === "message_start") this.#isNew = true
    const delta = fieldsOf(event["delta"])
    const text =
      event["type"] === "content_block_delta" && delta["type"] === "text_delta" ? delta["text"] : undefined
    if (typeof text !== "string") return
    this.#text = this.#isNew ? text : this.#text + text
    this.#isNew = false
  }

  /** A message in one piece, which may have come in parts before. */
  #hearWhole(content: unknown) {
    const texts = Array.isArray(content) ? content.map((block) => fieldsOf(block)["text"]) : []
    const text = texts.filter((part) => typeof part === "string").join("")
    if (text !== "" && !this.#text.endsWith(text)) this.#text = text
  }
}

type Fields = Readonly<Record<string, unknown>>

const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? (value as Fields) : {}
