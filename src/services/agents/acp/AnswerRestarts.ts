import { acpTextOf, answerRestart } from "../../../domain/AnswerText.ts"
import { fieldsOf } from "../../../domain/Json.ts"
import type { AcpMessage } from "../AcpxClient.ts"
import { claudeMessageOf, sessionOf } from "./MessageFields.ts"

/**
 * Finds out where `claude` begins an answer anew. When the provider's stream breaks, `claude` drops what the model has
 * said of that message, and asks again; its adapter sends the new message after the half of the old one. `claude` itself
 * tells each block that is complete, by the id of its message, and a dropped message is never told.
 */
export class AnswerRestarts {
  /** The turn's text that counts, up to the messages that are not complete. */
  #text = ""
  /** The text of messages that are not complete, by their ids. */
  readonly #incomplete = new Map<unknown, string>()
  /** The ids of the messages of which a block is complete. */
  readonly #complete = new Set<unknown>()

  /**
   * Reads the next message of a turn. Returns the message to put in its place when the answer begins anew; undefined
   * otherwise.
   */
  readonly add = (message: AcpMessage): AcpMessage | undefined => {
    const said = claudeMessageOf(message)
    if (said === undefined) this.#addChunk(message)
    else if (this.#dropsText(fieldsOf(said))) return answerRestart(sessionOf(message), this.#text)
    return undefined
  }

  readonly #addChunk = (message: AcpMessage): void => {
    const text = acpTextOf(message)
    const id = fieldsOf(fieldsOf(message["params"])["update"])["messageId"]
    if (text === "" || id === undefined) return
    if (this.#complete.has(id)) this.#text += text
    else this.#incomplete.set(id, (this.#incomplete.get(id) ?? "") + text)
  }

  /** Whether a complete block of `claude` drops text that its adapter has sent. */
  readonly #dropsText = ({ type, message, ...fields }: Readonly<Record<string, unknown>>): boolean => {
    // An error that the CLI words as if the model had said it ends the turn. A subagent's text is no answer.
    if (type !== "assistant" || fields["parent_tool_use_id"] != null || fields["error"] != null) return false
    const { id, content } = fieldsOf(message)
    const own = this.#incomplete.get(id) ?? ""
    this.#incomplete.delete(id)
    const dropped = [...this.#incomplete.values()].join("")
    this.#incomplete.clear()
    this.#complete.add(id)
    // The adapter sends the rest only, of a text that begins with what was dropped.
    const goesOn = own === "" && textIn(content).startsWith(dropped)
    this.#text += goesOn ? dropped : own
    return !goesOn && dropped !== ""
  }
}

const textIn = (content: unknown): string =>
  Array.isArray(content) ? content.map((block) => String(fieldsOf(block)["text"] ?? "")).join("") : ""
