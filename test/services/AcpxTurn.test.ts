import { describe, expect, it } from "@effect/vitest"
import { openingFailure } from "../../src/services/agents/acpx/Failures.ts"
import { makePromptOutputReader } from "../../src/services/agents/acpx/PromptOutput.ts"

const PROMPT = { id: 2, method: "session/prompt", params: {} }
const UPDATE = { method: "session/update", params: {} }
const RESULT = { id: 2, result: { stopReason: "end_turn" } }

/** The events of these messages, without those that are not relevant. */
const eventsOf = (...messages: ReadonlyArray<object>) => {
  const read = makePromptOutputReader()
  return messages
    .map((message) => read(JSON.stringify({ jsonrpc: "2.0", ...message })))
    .filter(({ _tag }) => _tag !== "Nothing")
    .map((one) => ("message" in one ? [one._tag, one.message] : one._tag))
}
const message = (sent: object) => ["Message", { jsonrpc: "2.0", ...sent }]
const result = (sent: object) => ["Result", { jsonrpc: "2.0", ...sent }]

describe("the output of `acpx prompt`", () => {
  it("separates the agent's messages from acpx's own: before, during and after the turn", () => {
    const cancel = { method: "session/cancel", params: {} }
    expect(
      eventsOf(
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

  it("recognizes acpx's answer to a request of the agent that has the same id as the prompt", () => {
    const asks = { id: 2, method: "session/request_permission", params: {} }
    const refuses = { id: 2, error: { code: -32601, message: "no" } }
    const answers = { id: 2, result: { outcome: { outcome: "selected", optionId: "yes" } } }
    expect(eventsOf(PROMPT, asks, answers, asks, refuses, RESULT)).toEqual([
      "Prompted",
      message(asks),
      message(asks),
      result(RESULT),
    ])
    // The agent need not wait for an answer.
    expect(eventsOf(PROMPT, asks, RESULT)).toEqual(["Prompted", message(asks), result(RESULT)])
  })

  it("separates errors of the agent from errors of acpx", () => {
    const error = { code: -32603, message: "it broke" }
    expect(eventsOf(PROMPT, { id: 2, error })).toEqual(["Prompted", "Refused"])
    expect(eventsOf(PROMPT, { id: 2, result: {} })).toEqual(["Prompted", "Refused"])
    expect(eventsOf(PROMPT, { id: null, error })).toEqual(["Prompted", "Broken"])
    expect(eventsOf({ id: null, error })).toEqual(["Broken"])
  })

  it("reports an empty session that replaces another", () => {
    expect(eventsOf({ id: 1, method: "session/new" }, { id: 1, result: { sessionId: "x" } }, PROMPT)).toEqual(
      ["EmptySession", "Prompted"],
    )
  })
})

const failureFor = (message: string) =>
  openingFailure({ code: -32_603, message }, "acpx", { secrets: [], texts: [] })

it("a model that the adapter or acpx does not know is told as such, whatever the error's code is", () => {
  for (const message of [
    "Internal error: Model 'no-such-model' not found",
    "the agent did not advertise the model 'no-such-model'",
  ])
    expect([message, failureFor(message)._tag]).toEqual([message, "ModelNotFound"])
  expect(failureFor("Internal error: it broke")._tag).toBe("AgentUnavailable")
})
