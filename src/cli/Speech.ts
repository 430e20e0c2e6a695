import { textOf } from "../client/Session.ts"
import { textEventOf } from "../domain/ClaudeTextEvent.ts"

/** The text of an answer in the messages of a stream. Messages of any shape are accepted; most have no text. */

/** Separates the messages of the model. */
export const BREAK = "\n"

/** The piece of the model's text in a message of the CLI: `BREAK` where a new message begins, "" without text. */
export const ofClaude = (message: unknown): string => {
  const event = textEventOf(message)
  switch (event?._tag) {
    case "MessageStart":
      return BREAK
    case "Delta":
      return event.text
    default:
      return ""
  }
}

/** The piece of the answer in an agent's message, "" without text. */
export const ofAgent = (message: unknown): string => textOf([message])
