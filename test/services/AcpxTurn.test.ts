import { describe, expect, it } from "@effect/vitest"
import { makePromptOutputReader } from "../../src/services/agents/acpx/PromptOutput.ts"

const PROMPT = { id: 2, method: "session/prompt", params: {} }
const UPDATE = { method: "session/update", params: {} }
const RESULT = { id: 2, result: { stopReason: "end_turn" } }

/** What is heard of these messages; those of no concern left out. */
const heard = (...messages: ReadonlyArray<object>) => {
  const read = makePromptOutputReader()
  return messages
    .map((message) => read(JSON.stringify({ jsonrpc: "2.0", ...message })))
    .filter(({ _tag }) => _tag !== "Nothing")
    .map((one) => (one._tag === "Message" || one._tag === "Result" ? [one._tag, one.message] : one._tag))
}
const message = (sent: object) => ["Message", { jsonrpc: "2.0", ...sent }]
const result = (sent: object) => ["Result", { jsonrpc: "2.0", ...sent }]

describe("what acpx prints of a turn", () => {
  it("tells the agent's messages from ours, before, in and after the turn", () => {
    const cancel = { method: "session/cancel", params: {} }
    expect(
      heard(
        { id: 0, method: "initialize" },
        { id: 0, result: {} },
        UPDATE,
        PROMPT,
        UPDATE,
        cancel,
        RESULT,
        UPDATE,
      ),
    ).toEqual(["AgentStarts", "Prompted", message(UPDATE), result(RESULT)])
  })

  it("knows our answer to a request that has the prompt's own id", () => {
    const asks = { id: 2, method: "session/request_permission", params: {} }
    const refuses = { id: 2, error: { code: -32601, message: "no" } }
    const answers = { id: 2, result: { outcome: { outcome: "selected", optionId: "yes" } } }
    expect(heard(PROMPT, asks, answers, asks, refuses, RESULT)).toEqual([
      "Prompted",
      message(asks),
      message(asks),
      result(RESULT),
    ])
    // The agent need not wait for an answer.
    expect(heard(PROMPT, asks, RESULT)).toEqual(["Prompted", message(asks), result(RESULT)])
  })

  it("tells an error of the agent's from one of acpx's", () => {
    const error = { code: -32603, message: "it broke" }
    expect(heard(PROMPT, { id: 2, error })).toEqual(["Prompted", "Refused"])
    expect(heard(PROMPT, { id: 2, result: {} })).toEqual(["Prompted", "Refused"])
    expect(heard(PROMPT, { id: null, error })).toEqual(["Prompted", "Broken"])
    expect(heard({ id: null, error })).toEqual(["Broken"])
  })

  it("sees an empty session in place of another", () => {
    expect(heard({ id: 1, method: "session/new" }, { id: 1, result: { sessionId: "x" } }, PROMPT)).toEqual([
      "EmptySession",
      "Prompted",
    ])
  })
})
