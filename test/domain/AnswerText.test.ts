import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import {
  type AddMessage,
  addAcpMessage,
  addClaudeMessage,
  type AnswerText,
  answerRestart,
  type Delta,
  NO_TEXT,
  textOfTurn,
  UNKNOWN_TEXT,
} from "../../src/domain/AnswerText.ts"

/** All deltas of messages, in order. */
const deltasOf = (add: AddMessage, messages: ReadonlyArray<unknown>, from: AnswerText = NO_TEXT) => {
  let text = from
  return messages.flatMap((message): ReadonlyArray<Delta> => {
    const [after, deltas] = add(text, message)
    text = after
    return deltas
  })
}

/** The pieces since the last reset. */
const joined = (deltas: ReadonlyArray<Delta>): string =>
  deltas.reduce((text, delta) => ("reset" in delta ? "" : text + delta.text), "")

// --- what the CLI prints, measured with 2.1.329 ----------------------------------------------------------------

interface Block {
  readonly type: "text" | "thinking" | "tool_use"
  readonly text: string
}

const event = (event: object, parent: string | null = null) => ({
  type: "stream_event",
  event,
  parent_tool_use_id: parent,
})
const assistant = (...content: ReadonlyArray<object>) => ({
  type: "assistant",
  message: { content },
  parent_tool_use_id: null,
})
const result = (text: string) => ({ type: "result", subtype: "success", is_error: false, result: text })
const retry = { type: "system", subtype: "api_retry", attempt: 1 }
const resume = { type: "user", message: { role: "user", content: "…" }, isSynthetic: true }

const blockOf = ({ type, text }: Block) =>
  type === "tool_use" ? { type, name: "Read", input: { text } } : { type, [type]: text }
const pieceOf = (type: Block["type"], text: string) =>
  type === "text"
    ? { type: "text_delta", text }
    : type === "thinking"
      ? { type: "thinking_delta", thinking: text }
      : { type: "input_json_delta", partial_json: text }
const halves = (text: string) => [text.slice(0, text.length / 2), text.slice(text.length / 2)]

/** A block as it is streamed: whole, and then the CLI's own message with it; or broken off in the middle. */
const streamedBlock = ({ type, text }: Block, index: number, breaks: boolean) => {
  const [first = "", second = ""] = halves(text)
  const begun = event({ type: "content_block_start", index, content_block: { type } })
  const delta = (piece: string) => event({ type: "content_block_delta", index, delta: pieceOf(type, piece) })
  const stop = event({ type: "content_block_stop", index })
  return breaks
    ? [begun, delta(first), stop]
    : [begun, delta(first), delta(second), assistant(blockOf({ type, text })), stop]
}

/** A message of the model: streamed, or broken off in the middle of a block, which is given from 0. */
const streamed = (blocks: ReadonlyArray<Block>, brokenAt?: number) => [
  event({ type: "message_start", message: { content: [] } }),
  ...blocks
    .slice(0, brokenAt === undefined ? undefined : brokenAt + 1)
    .flatMap((block, n) => streamedBlock(block, n, n === brokenAt)),
  event({ type: "message_stop" }),
]

/** A message of the model that was asked for without streaming. */
const whole = (blocks: ReadonlyArray<Block>) => blocks.map((block) => assistant(blockOf(block)))

const say = (text: string): Block => ({ type: "text", text })
const think: Block = { type: "thinking", text: "hm, hm" }
const read: Block = { type: "tool_use", text: "/etc/hosts" }
const toolResult = { type: "user", message: { role: "user", content: [{ type: "tool_result" }] } }

describe("the deltas of claude's messages", () => {
  it.each<[string, ReadonlyArray<unknown>, ReadonlyArray<Delta>]>([
    [
      "are the pieces of the text",
      [...streamed([think, say("two cups")]), result("two cups")],
      [{ text: "two " }, { text: "cups" }],
    ],
    [
      "go on where a broken stream's answer goes on",
      [...streamed([say("one two ")], 0), retry, ...whole([say("one two ")]), result("one two ")],
      [{ text: "one " }, { text: "two " }],
    ],
    [
      "begin anew with an answer that begins otherwise",
      [...streamed([say("one two ")], 0), retry, ...whole([say("three")]), result("three")],
      [{ text: "one " }, { reset: true }, { text: "three" }],
    ],
    [
      "begin anew with each stream that is tried",
      [
        ...streamed([say("one two ")], 0),
        retry,
        ...streamed([say("one two ")], 0),
        ...whole([say("one two ")]),
        result("one two "),
      ],
      [{ text: "one " }, { reset: true }, { text: "one " }, { text: "two " }],
    ],
    [
      "begin anew where the CLI has the model resume",
      [...streamed([think, say("two cups")], 1), resume, ...streamed([say("2 cups")]), result("2 cups")],
      [{ text: "two " }, { reset: true }, { text: "2 c" }, { text: "ups" }],
    ],
    [
      "begin anew after a tool's call",
      [...streamed([say("Look"), read]), toolResult, ...streamed([say("done")]), result("done")],
      [{ text: "Lo" }, { text: "ok" }, { reset: true }, { text: "do" }, { text: "ne" }],
    ],
    [
      "begin anew with each block of text, as the result is the last one",
      [...streamed([say("one "), say("two")]), result("two")],
      [{ text: "on" }, { text: "e " }, { reset: true }, { text: "t" }, { text: "wo" }],
    ],
    [
      "have a text that only the result has, as with structured output",
      [...streamed([say("Well"), read]), toolResult, result('{"qty":2}')],
      [{ text: "We" }, { text: "ll" }, { reset: true }, { text: '{"qty":2}' }],
    ],
    [
      "leave out what subagents say, and errors in the model's name",
      [
        event({ type: "content_block_delta", delta: { type: "text_delta", text: "sub" } }, "toolu_1"),
        { ...assistant({ type: "text", text: "sub" }), parent_tool_use_id: "toolu_1" },
        { ...assistant({ type: "text", text: "API Error: 400" }), is_api_error_message: true },
        { ...result("API Error: 400"), is_error: true },
      ],
      [],
    ],
  ])("%s", (_, messages, deltas) => {
    expect(deltasOf(addClaudeMessage, messages)).toEqual(deltas)
  })

  const texts = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom("a", "ab", "aab", "😀 naïve 漢字"))
  const block = fc.oneof(texts.map(say), fc.constantFrom(think, read))
  /** A message of the model with what goes before it: streams that broke off, and were given up or resumed. */
  const messageOf = (blocks: ReadonlyArray<Block>, broken: ReadonlyArray<number>, isWhole: boolean) => [
    ...broken.flatMap((n) => [
      ...streamed(blocks, n % blocks.length),
      n % blocks.length === 0 ? retry : resume,
    ]),
    ...(isWhole ? whole(blocks) : streamed(blocks)),
    ...(blocks.some(({ type }) => type === "tool_use") ? [toolResult] : []),
  ]
  const message = fc
    .tuple(
      fc.array(block, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(3), { maxLength: 3 }),
      fc.boolean(),
    )
    .map(([blocks, broken, isWhole]) => messageOf(blocks, broken, isWhole))

  it("are joined the text that the result is made from, whatever breaks", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), texts, fc.boolean(), (messages, last, isTold) => {
        const said = [...messages.flat(), ...(isTold ? streamed([say(last)]) : []), result(last)]
        expect(joined(deltasOf(addClaudeMessage, said))).toBe(last)
      }),
    )
  })

  it("are joined the last block of text before each message of the CLI's own", () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), texts, (messages, last) => {
        const said = [...messages.flat(), ...streamed([say(last)])]
        expect(joined(deltasOf(addClaudeMessage, said))).toBe(last)
      }),
    )
  })

  it("are joined the result, too, when the beginning is no longer stored", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 3 }), texts, fc.nat(), (messages, last, n) => {
        const said = [...messages.flat(), ...streamed([say(last)]), result(last)]
        const rest = said.slice(n % said.length)
        const deltas = deltasOf(addClaudeMessage, rest, UNKNOWN_TEXT)
        expect(deltas).toContainEqual({ reset: true })
        expect(joined(deltas)).toBe(last)
      }),
    )
  })
})

const chunk = (text: unknown, sessionUpdate = "agent_message_chunk") => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: { sessionId: "s", update: { sessionUpdate, content: { type: "text", text } } },
})

describe("the deltas of a turn's messages", () => {
  it("begin anew with the text that still counts where the agent begins anew", () => {
    const messages = [
      chunk("I look. "),
      chunk("one two"),
      answerRestart("s", "I look. "),
      chunk("quite another"),
    ]
    expect(deltasOf(addAcpMessage, messages)).toEqual([
      { text: "I look. " },
      { text: "one two" },
      { reset: true },
      { text: "I look. " },
      { text: "quite another" },
    ])
    expect(textOfTurn(messages)).toBe("I look. quite another")
  })

  it("are all that the agent says otherwise", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.string())), (said) => {
        const messages = [
          ...said.flatMap(([isAnswer, text]) => [
            chunk(text, isAnswer ? "agent_message_chunk" : "agent_thought_chunk"),
            { jsonrpc: "2.0", method: "session/update", params: { update: { sessionUpdate: "tool_call" } } },
          ]),
          { jsonrpc: "2.0", id: 3, result: { stopReason: "end_turn" } },
        ]
        const deltas = deltasOf(addAcpMessage, messages)
        expect(deltas).toEqual(
          said.flatMap(([isAnswer, text]) => (isAnswer && text !== "" ? [{ text }] : [])),
        )
      }),
    )
  })
})

describe("messages of any shape", () => {
  it.each([
    ["claude", addClaudeMessage],
    ["an agent", addAcpMessage],
  ])("have at most a reset and a piece, from %s", (_, add) => {
    const types = fc.constantFrom("stream_event", "assistant", "result", "content_block_delta", "text")
    const odd = fc.oneof(
      fc.jsonValue(),
      fc.record({ type: types, event: fc.jsonValue(), message: fc.jsonValue(), result: fc.jsonValue() }),
      fc.record({ type: types, message: fc.record({ content: fc.jsonValue() }) }),
      fc.record({ type: types, event: fc.record({ type: types, delta: fc.jsonValue() }) }),
      fc.jsonValue().map((text) => chunk(text)),
    )
    fc.assert(
      fc.property(fc.array(odd), (messages) => {
        for (const message of messages) {
          const [, deltas] = add({ text: "a", isNewBlock: true }, message)
          expect(deltas.length).toBeLessThanOrEqual(2)
          if (deltas.length === 2) expect(deltas[0]).toEqual({ reset: true })
        }
      }),
    )
  })
})
