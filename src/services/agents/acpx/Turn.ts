import { Option, Schema } from "effect"
import type { AcpMessage } from "../AcpxClient.ts"
import { AcpxError } from "./Failure.ts"

/**
 * What a line of `acpx prompt` means for the turn. acpx prints the whole traffic with the agent, both ways, without
 * saying which way.
 */
export type Heard =
  /** Of no concern: our own side of the traffic, or what belongs to no turn. */
  | { readonly _tag: "Nothing" }
  /** This call has started an agent, or its queue owner has. */
  | { readonly _tag: "AgentStarts" }
  /** The agent has an empty session in place of the one that was asked for. */
  | { readonly _tag: "EmptySession" }
  /** The agent has the prompt. */
  | { readonly _tag: "Prompted" }
  | { readonly _tag: "Message"; readonly message: AcpMessage }
  /** The last message of the turn. */
  | { readonly _tag: "Result"; readonly message: AcpMessage }
  /** The agent's answer is an error: the turn is over, and the session may go on. */
  | { readonly _tag: "Refused"; readonly error: AcpxError }
  /** acpx cannot go on. */
  | { readonly _tag: "Broken"; readonly error: AcpxError }

const NOTHING: Heard = { _tag: "Nothing" }

/** What only a client sends. */
const isOurs = (method: string): boolean =>
  method === "initialize" || method === "authenticate" || method === "session/cancel" || OURS.test(method)
const OURS = /^(session\/(new|load|resume|list|fork|close|delete|prompt|set_\w+)|\$\/cancel_request)$/

const decodeObject = Schema.decodeOption(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
)
const decodeError = Schema.decodeUnknownOption(AcpxError)
const hasStopReason = Schema.is(Schema.Struct({ stopReason: Schema.String }))

/** Reads the lines of one turn, in order. What comes after its result or failure is nothing. */
export const turnReader = () => {
  let promptId: unknown
  let over = false
  /** Requests of the agent that wait for acpx's answer: its ids and ours may be the same. */
  const asked = new Set<unknown>()

  const request = (message: AcpMessage, method: string): Heard => {
    if (promptId === undefined) {
      if (method === "initialize") return { _tag: "AgentStarts" }
      if (method === "session/new") return { _tag: "EmptySession" }
      if (method !== "session/prompt") return NOTHING
      promptId = message["id"]
      return { _tag: "Prompted" }
    }
    if (isOurs(method)) return NOTHING
    if (message["id"] !== undefined) asked.add(message["id"])
    return { _tag: "Message", message }
  }

  const response = (message: AcpMessage): Heard => {
    const { id, result } = message
    const error = decodeError(message["error"])
    if (id === null && Option.isSome(error)) {
      over = true
      return { _tag: "Broken", error: error.value }
    }
    if (promptId === undefined) return NOTHING
    const isResult = id === promptId && hasStopReason(result)
    if (!isResult && asked.delete(id)) return NOTHING
    if (id !== promptId) return NOTHING
    over = true
    if (isResult) return { _tag: "Result", message }
    const unknown = { code: -32603, message: "its result has no stop reason" }
    return { _tag: "Refused", error: Option.getOrElse(error, () => unknown) }
  }

  return (line: string): Heard => {
    if (over) return NOTHING
    const message = Option.getOrUndefined(decodeObject(line))
    if (message === undefined) return NOTHING
    const method = message["method"]
    return typeof method === "string" ? request(message, method) : response(message)
  }
}
