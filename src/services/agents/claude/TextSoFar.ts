import { textEventOf } from "../../../domain/ClaudeTextEvent.ts"
import type { ClaudeLine } from "./Protocol.ts"

/** Collects the text that the model writes: that of its newest message which has any, as far as it has come. */
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
