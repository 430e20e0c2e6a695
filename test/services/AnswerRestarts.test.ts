import { describe, expect, it } from "@effect/vitest"
import { answerRestart, textOfTurn } from "../../src/domain/AnswerText.ts"
import type { AcpMessage } from "../../src/services/agents/AcpxClient.ts"
import { AnswerRestarts } from "../../src/services/agents/acp/AnswerRestarts.ts"

/** A piece of text, as the adapter sends it. */
const chunk = (messageId: string, text: string) => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: {
    sessionId: "s",
    update: { sessionUpdate: "agent_message_chunk", messageId, content: { type: "text", text } },
  },
})

/** A block that is complete, as `claude` itself tells it. */
const block = (id: string, content: object, more: object = {}) => ({
  jsonrpc: "2.0",
  method: "_claude/sdkMessage",
  params: {
    sessionId: "s",
    message: { type: "assistant", parent_tool_use_id: null, message: { id, content: [content] }, ...more },
  },
})

const said = (text: string) => ({ type: "text", text })
const toolUse = { type: "tool_use", id: "t", name: "Read", input: {} }

/** The messages of a turn as they are stored. */
const stored = (messages: ReadonlyArray<AcpMessage>): ReadonlyArray<AcpMessage> => {
  const restarts = new AnswerRestarts()
  return messages.flatMap((message) => {
    const restart = restarts.add(message)
    return message["method"] === "session/update" ? [message] : restart === undefined ? [] : [restart]
  })
}

describe("a turn of claude", () => {
  it("does not begin anew when each message is complete", () => {
    const messages = [
      chunk("m1", "I "),
      chunk("m1", "look. "),
      block("m1", said("I look. ")),
      block("m1", toolUse),
      chunk("m2", "Found."),
      block("m2", said("Found.")),
    ]
    expect(textOfTurn(stored(messages))).toBe("I look. Found.")
    expect(stored(messages).every(({ method }) => method === "session/update")).toBe(true)
  })

  it("has the other answer only, when a stream broke and another one came whole", () => {
    const messages = [
      chunk("m1", "I look. "),
      block("m1", said("I look. ")),
      chunk("m2", "one two"),
      block("m3", said("quite another")),
      chunk("m3", "quite another"),
    ]
    expect(stored(messages)).toContainEqual(answerRestart("s", "I look. "))
    expect(textOfTurn(stored(messages))).toBe("I look. quite another")
  })

  it("goes on when the other answer begins like the one that broke: the adapter sends the rest only", () => {
    const messages = [
      chunk("m1", "one two"),
      block("m2", said("one two three")),
      chunk("m2", " three"),
      block("m2", toolUse),
      chunk("m3", "."),
      block("m3", said(".")),
    ]
    expect(textOfTurn(stored(messages))).toBe("one two three.")
  })

  it("has the last answer only, when streams broke and the last one did not", () => {
    const messages = [
      chunk("m1", "one two"),
      chunk("m2", "one"),
      chunk("m3", "one two "),
      chunk("m3", "three"),
      block("m3", said("one two three")),
    ]
    expect(textOfTurn(stored(messages))).toBe("one two three")
  })

  it("has nothing of a stream that broke when a call of a tool comes in its place", () => {
    const messages = [
      chunk("m1", "one two"),
      block("m2", toolUse),
      chunk("m3", "ok"),
      block("m3", said("ok")),
    ]
    expect(textOfTurn(stored(messages))).toBe("ok")
  })

  it("does not begin anew for a subagent's words, nor for an error that ends it", () => {
    const messages = [
      chunk("m1", "one two"),
      block("m9", said("by a subagent"), { parent_tool_use_id: "t" }),
      block("m8", said("API Error: Overloaded"), { error: "overloaded" }),
    ]
    expect(textOfTurn(stored(messages))).toBe("one two")
  })
})
