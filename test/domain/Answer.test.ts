import { describe, expect, it } from "@effect/vitest"
import { resultOf } from "../../src/domain/Answer.ts"

describe("what `result` holds", () => {
  it.each([
    ["a fence with a language", '```json\n{"qty":2}\n```', { qty: 2 }],
    ["a fence without a language", '```\n{"qty":2}\n```', { qty: 2 }],
    ["a fence with white space around it", "\n  ```json\n[1]\n```  \n", [1]],
    ["a longer fence", '````json\n"a"\n````', "a"],
    ["a fence of tildes", "~~~\ntrue\n~~~", true],
    ["a fence with CRLF", '```json\r\n{"qty":2}\r\n```\r\n', { qty: 2 }],
    ["bare JSON", ' {"qty":2} ', { qty: 2 }],
    ["a bare number", "42", 42],
    ["null", "null", null],
  ])("is the value, for %s", (_, text, value) => {
    expect(resultOf(text)).toEqual(value)
  })

  it.each([
    ["plain text", "Two cups of flour."],
    ["nothing", ""],
    ["prose before a fence", 'Here you are:\n```json\n{"qty":2}\n```'],
    ["prose after a fence", '```json\n{"qty":2}\n```\nEnjoy!'],
    ["two fences", "```json\n1\n```\nor\n```json\n2\n```"],
    ["a fence that is not JSON", "```js\nconst a = 1\n```"],
    ["a fence that is not closed", '```json\n{"qty":2}'],
    ["a fence of two backticks", "``\n1\n``"],
    ["a fence closed by fewer backticks", "````\n1\n```"],
    ["a fence on one line", "```1```"],
    ["JSON nested past reason", "[".repeat(5000) + "]".repeat(5000)],
  ])("is the text as it came, for %s", (_, text) => {
    expect(resultOf(text)).toBe(text)
  })
})
