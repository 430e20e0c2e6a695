import { describe, expect, it } from "@effect/vitest"
import { isWithin, JsonScan } from "../../src/domain/JsonScan.ts"

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** Adds a text in pieces of that many bytes. */
const scan = (text: string, { size = 1000, levels = 3, values = 10, lines = false } = {}) => {
  const scanned = new JsonScan({ levels, values }, { lines })
  const bytes = bytesOf(text)
  for (let at = 0; at < bytes.length; at += size) {
    if (!scanned.add(bytes.subarray(at, at + size))) return false
  }
  return true
}

describe.each([1, 2, 3, 7, 1000])("JSON that arrives in pieces of %i bytes", (size) => {
  it.each([
    ["as deep as it may be", '[{"a":[1]}]', true],
    ["too deep", '[{"a":[[1]]}]', false],
    ["wide", `[${"[],".repeat(4)}1]`, true],
    ["too wide", `[${"[],".repeat(5)}1]`, false],
    ["a list of too many entries", `[${"1,".repeat(10)}1]`, false],
    ["an object of too many entries", `{${'"a":1,'.repeat(10)}"a":1}`, false],
    ["a text with brackets and commas", `["${"[{,".repeat(20)}"]`, true],
    ["a text with escaped quotes", `["${'\\"[,'.repeat(20)}"]`, true],
    ["a text that ends in a backslash", `["\\\\",[[["too deep"]]]]`, false],
    ["a text that ends in two backslashes", `["\\\\\\\\",[["as deep"]]]`, true],
    ["a key with brackets", `{"[[[[":{"]]]]":[1]}}`, true],
  ])("is measured: %s", (_, text, isFine) => {
    expect(scan(text, { size })).toBe(isFine)
  })

  it("is measured line by line, if each line is JSON of its own", () => {
    expect(scan("[1,2,3]\n".repeat(20), { size, lines: true })).toBe(true)
    expect(scan("[1,2,3]\n".repeat(20), { size })).toBe(false)
    // A line that is not JSON has no effect on the next ones.
    expect(scan('[[["no end\n'.repeat(20), { size, lines: true })).toBe(true)
    expect(scan('"no end\n[[[[1]]]]\n', { size, lines: true })).toBe(false)
  })
})

it("a text of more than one piece is measured as a whole", () => {
  const text = `[${"[],".repeat(50_000)}"${"ü[".repeat(100_000)}"]`
  expect(isWithin(text, { levels: 2, values: 100_001 })).toBe(true)
  expect(isWithin(text, { levels: 2, values: 100_000 })).toBe(false)
  expect(isWithin(text, { levels: 1, values: 100_001 })).toBe(false)
})
