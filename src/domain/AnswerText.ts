import { fieldsOf } from "./Json.ts"

/**
 * The text of an answer while it is written. Raw messages of agents go in, and pieces of text come out: one reducer for
 * the messages of `claude` (of a one-shot), one for those of the Agent Client Protocol (of a turn).
 *
 * The pieces since the last reset, joined, are the text. At the end of a one-shot it is the text that its `result` is made
 * from; at the end of a turn it is all that the agent said in the turn. Whether that are a refusal's words, which are no
 * answer, is known when the turn has failed (see `src/http/views/DeltaFrames.ts`).
 */

/** A piece of the text that is appended; or a reset: all text so far is void, and the answer begins anew. */
export type Delta = { readonly text: string } | { readonly reset: true }

/** The text up to a message. */
export interface AnswerText {
  /** The text since the last reset; undefined if messages are missing, so that nobody knows it. */
  readonly text: string | undefined
  /** Whether the next piece of a stream belongs to another block of text than the pieces before. */
  readonly isNewBlock: boolean
}

export const NO_TEXT: AnswerText = { text: "", isNewBlock: false }
/** The text when the messages before are no longer stored. */
export const UNKNOWN_TEXT: AnswerText = { text: undefined, isNewBlock: false }

/** Adds the next message. Returns the text with it, and what it adds: a reset and a piece at most. */
export type AddMessage = (
  before: AnswerText,
  message: unknown,
) => readonly [after: AnswerText, deltas: ReadonlyArray<Delta>]

const pieceOf = (text: string): ReadonlyArray<Delta> => (text === "" ? [] : [{ text }])

/** Appends a piece to the text. A piece of a new block replaces it. */
const append: (before: AnswerText, piece: string) => ReturnType<AddMessage> = (before, piece) => {
  if (piece === "") return [before, []]
  const { text, isNewBlock } = before
  if (!isNewBlock || text === "") {
    return [{ text: text === undefined ? undefined : text + piece, isNewBlock: false }, [{ text: piece }]]
  }
  return [{ text: piece, isNewBlock: false }, [{ reset: true }, { text: piece }]]
}

/** Makes the text that one: appends what is missing, or replaces it. */
const replace: (before: AnswerText, whole: string) => ReturnType<AddMessage> = ({ text }, whole) => {
  const after = { text: whole, isNewBlock: false }
  return text !== undefined && whole.startsWith(text)
    ? [after, pieceOf(whole.slice(text.length))]
    : [after, [{ reset: true }, ...pieceOf(whole)]]
}

/**
 * Adds a message of the CLI's stream-json output. It may have any shape. The answer is the last block of text that the
 * model writes, as the CLI's `result` has it: text before a call of a tool is void when text comes after it. When the
 * provider's stream breaks, the CLI asks again without streaming: then the block comes whole, and perhaps other than it
 * began. A subagent's text is no answer.
 */
export const addClaudeMessage: AddMessage = (before, message) => {
  const fields = fieldsOf(message)
  if (fields["parent_tool_use_id"] != null) return [before, []]
  switch (fields["type"]) {
    case "stream_event":
      return addStreamEvent(before, fieldsOf(fields["event"]))
    case "assistant": {
      // An error that the CLI words as if the model had said it.
      if (fields["is_api_error_message"] === true) return [before, []]
      const block = lastTextIn(fieldsOf(fields["message"])["content"])
      return block === undefined ? [before, []] : replace(before, block)
    }
    case "result": {
      const { result, is_error } = fields
      // Structured output, for one, has no other message with its text.
      return typeof result !== "string" || is_error === true ? [before, []] : replace(before, result)
    }
    default:
      return [before, []]
  }
}

const addStreamEvent: AddMessage = (before, message) => {
  const event = fieldsOf(message)
  switch (event["type"]) {
    case "message_start":
      return [{ ...before, isNewBlock: true }, []]
    case "content_block_start":
      return [
        fieldsOf(event["content_block"])["type"] === "text" ? { ...before, isNewBlock: true } : before,
        [],
      ]
    case "content_block_delta": {
      const { type, text } = fieldsOf(event["delta"])
      return type === "text_delta" && typeof text === "string" ? append(before, text) : [before, []]
    }
    default:
      return [before, []]
  }
}

const lastTextIn = (content: unknown): string | undefined => {
  const texts = Array.isArray(content) ? content.map((block) => fieldsOf(block)["text"]) : []
  return texts.filter((text) => typeof text === "string").findLast((text) => text !== "")
}

/** The method of our own notification that an agent began its answer anew. Agents do not send it. */
const ANSWER_RESTART = "_clawdforge/answer_restart"

/**
 * Makes the message that says that an agent began its answer anew: `text` is all of the turn's text that still counts. It
 * is put among the messages of a turn, because the protocol does not tell an answer that begins anew from one that goes on.
 */
export const answerRestart = (sessionId: unknown, text: string) => ({
  jsonrpc: "2.0" as const,
  method: ANSWER_RESTART,
  params: { sessionId, text },
})

/** Adds a message of the Agent Client Protocol, or an `answerRestart`. It may have any shape. */
export const addAcpMessage: AddMessage = (before, message) => {
  const { method, params } = fieldsOf(message)
  const { text } = fieldsOf(params)
  return method === ANSWER_RESTART && typeof text === "string"
    ? [{ text, isNewBlock: false }, [{ reset: true }, ...pieceOf(text)]]
    : append(before, acpTextOf(message))
}

/** The text of the answer in all messages of a turn. */
export const textOfTurn = (messages: ReadonlyArray<unknown>): string =>
  messages.reduce<AnswerText>((before, message) => addAcpMessage(before, message)[0], NO_TEXT).text ?? ""

/** The text of the answer in a message of the Agent Client Protocol; "" in a message without any. */
export const acpTextOf = (message: unknown): string => {
  const { method, params } = fieldsOf(message)
  const update = fieldsOf(fieldsOf(params)["update"])
  if (method !== "session/update" || update["sessionUpdate"] !== "agent_message_chunk") return ""
  const { text } = fieldsOf(update["content"])
  return typeof text === "string" ? text : ""
}
