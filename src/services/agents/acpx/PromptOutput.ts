import { Option, Schema } from "effect"
import type { AcpMessage } from "../AcpxClient.ts"
import { AcpxError } from "./Failures.ts"

/**
 * The meaning of one line of `acpx prompt` for the turn. acpx prints all messages in both directions, and does not say
 * which direction a message has.
 */
export type PromptEvent =
  /** Not relevant: a message from acpx to the agent, or one that is of no turn. */
  | { readonly _tag: "Nothing" }
  /** This call, or its queue owner, has started an agent. */
  | { readonly _tag: "AgentStarts" }
  /** The agent has created an empty session instead of resuming the session. */
  | { readonly _tag: "EmptySession" }
  /** The agent has the prompt. */
  | { readonly _tag: "Prompted" }
  | { readonly _tag: "Message"; readonly message: AcpMessage }
  /** The last message of the turn. */
  | { readonly _tag: "Result"; readonly message: AcpMessage }
  /** The agent answered the prompt with an error. The turn is over; the session may still be used. */
  | { readonly _tag: "Refused"; readonly error: AcpxError }
  /** acpx itself failed. */
  | { readonly _tag: "Broken"; readonly error: AcpxError }

const NOTHING: PromptEvent = { _tag: "Nothing" }

/** Methods that only a client sends, so the message is acpx's and not the agent's. */
const isClientMethod = (method: string): boolean =>
  method === "initialize" ||
  method === "authenticate" ||
  method === "session/cancel" ||
  CLIENT_METHODS.test(method)
const CLIENT_METHODS =
  /^(session\/(new|load|resume|list|fork|close|delete|prompt|set_\w+)|\$\/cancel_request)$/

const decodeObject = Schema.decodeOption(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
)
const decodeError = Schema.decodeUnknownOption(AcpxError)
const hasStopReason = Schema.is(Schema.Struct({ stopReason: Schema.String }))

/** Makes a reader for the lines of one turn, in order. After the turn's end, a line is `Nothing`. */
export const makePromptOutputReader = () => {
  let promptId: unknown
  let isOver = false
  /** Ids of the agent's requests that acpx has not answered. The agent and acpx may use the same ids. */
  const agentRequests = new Set<unknown>()

  const request = (message: AcpMessage, method: string): PromptEvent => {
    if (isOver) return NOTHING
    if (promptId === undefined) {
      if (method === "initialize") return { _tag: "AgentStarts" }
      if (method === "session/new") return { _tag: "EmptySession" }
      if (method !== "session/prompt") return NOTHING
      promptId = message["id"]
      return { _tag: "Prompted" }
    }
    if (isClientMethod(method)) return NOTHING
    if (message["id"] !== undefined) agentRequests.add(message["id"])
    return { _tag: "Message", message }
  }

  const response = (message: AcpMessage): PromptEvent => {
    const { id, result } = message
    if (isOver) return NOTHING
    const error = decodeError(message["error"])
    if (id === null && Option.isSome(error)) {
      isOver = true
      return { _tag: "Broken", error: error.value }
    }
    if (promptId === undefined) return NOTHING
    const isResult = id === promptId && hasStopReason(result)
    if (!isResult && agentRequests.delete(id)) return NOTHING
    if (id !== promptId) return NOTHING
    isOver = true
    if (isResult) return { _tag: "Result", message }
    const unknown = { code: -32603, message: "its result has no stop reason" }
    return { _tag: "Refused", error: Option.getOrElse(error, () => unknown) }
  }

  return (line: string): PromptEvent => {
    const message = Option.getOrUndefined(decodeObject(line))
    if (message === undefined) return NOTHING
    const method = message["method"]
    return typeof method === "string" ? request(message, method) : response(message)
  }
}
