import { textEventOf } from "../../../domain/ClaudeTextEvent.ts"
import type { ClaudeLine } from "./Protocol.ts"

/**
 * The text that the model has written up to now: of its newest message that has text. It is the result of a run that is
 * cancelled in the middle of its answer.
 */
export class TextSoFar {
  #text = ""
  #isNewMessage = false

  get text(): string {
    return this.#text
  }

  /** Adds the next line of the CLI's stream. */
  readonly add = ({ json }: ClaudeLine): void => {
    const event = textEventOf(json)
    switch (event?._tag) {
      case "MessageStart":
        this.#isNewMessage = true
        break
      case "Delta":
        this.#text = this.#isNewMessage ? event.text : this.#text + event.text
        this.#isNewMessage = false
        break
      case "WholeMessage":
        if (!this.#text.endsWith(event.text)) this.#text = event.text
        break
      default:
    }
  }
}
