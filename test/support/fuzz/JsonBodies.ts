import { FastCheck as fc } from "effect"
import type { Piece, Pieces } from "./Bytes.ts"
import type { JsonSchema } from "./Routes.ts"
import { CANARY, junk, strangeNames, valueFor } from "./Values.ts"

/** JSON bodies: good ones, ones with something wrong in a field, and bytes that are hardly JSON. */

/** A body larger than the fuzzed service takes. */
export const TOO_LARGE = 250_000

const nest = (open: string, inner: string, close: string): Pieces => [
  { repeat: open, times: 100_000 },
  inner,
  { repeat: close, times: 100_000 },
]

/** What no serializer would write for a value. */
const tokens = fc.constantFrom<Pieces>(
  nest("[", "", "]"),
  nest('{"a":', "1", "}"),
  nest("[", "", ""),
  [{ repeat: '{"not":', times: 9000 }, "{}", { repeat: "}", times: 9000 }],
  ["1e400"],
  ["-1e400"],
  ["-0"],
  ["1E-999999"],
  [{ repeat: "9", times: 5000 }],
  ["0x10"],
  ["01"],
  [".5"],
  ["1."],
  ["+1"],
  ["NaN"],
  ["Infinity"],
  ["undefined"],
  ["'x'"],
  ['"\\ud800"'],
  ['"\\udc00\\ud800 x"'],
  ['"\\u0000"'],
  ['"\\x41"'],
  ['"', { hex: "00" }, '"'],
  ['"', { hex: "ff" }, '"'],
  ['"', { hex: "c080" }, '"'],
  ['"', { hex: "eda080" }, '"'],
  ['"\n"'],
  ['"', { repeat: "\\u0041", times: 20_000 }, '"'],
  ['"', { repeat: CANARY, times: TOO_LARGE / 10 }, '"'],
  ['{"__proto__":{"prompt":"x"}}'],
  ['{"type":"string","pattern":"^(a+)+$"}'],
)

const PLACE = "<a value goes here>"
const fieldNames = (schema: JsonSchema) => Object.keys(schema.properties ?? {})

/** That object with some other text for one of its fields, or with one more field. */
const withToken = (object: unknown, name: string, token: Pieces): Pieces => {
  const text = JSON.stringify({ ...(object as object), [name]: PLACE })
  const [before = "", after = ""] = text.split(JSON.stringify(PLACE))
  return [before, ...token, after]
}

const strange = fc.constantFrom<Pieces>(
  [""],
  [" "],
  ["null"],
  ["[]"],
  ["{}"],
  ['"x"'],
  ["5"],
  ["{"],
  ["}"],
  ['{"prompt"'],
  ['{"prompt":"SAY 1"} trailing'],
  ['{"prompt":"x","prompt":"y","prompt":5}'],
  ['{"name":"x","name":null}'],
  ['{"prompt":"x",}'],
  ["{/* no */}"],
  ["\uFEFF{}"],
  [{ hex: "efbbbf" }, '{"prompt":"x"}'],
  [{ hex: "fffe7b007d00" }],
  [{ hex: "1f8b0800000000000003" }],
  [{ repeat: " ", times: 50_000 }, "{}"],
  [{ repeat: '{"prompt":"x"}', times: 100 }],
  [{ repeat: "x", times: TOO_LARGE }],
  ["{", { repeat: '"a":1,', times: 5000 }, '"b":1}'],
  ['{"files":[', { repeat: '"ff_x",', times: 5000 }, '"ff_x"],"prompt":"x"}'],
)

const noise = fc
  .uint8Array({ maxLength: 64 })
  .map((bytes): Pieces => [{ hex: Buffer.from(bytes).toString("hex") }])

export const jsonBody = (schema: JsonSchema): fc.Arbitrary<Pieces> => {
  const good = valueFor(schema)
  const text = good.map((value) => JSON.stringify(value))
  const name = fc.oneof(fc.constantFrom("x", ...fieldNames(schema)), strangeNames)
  return fc.oneof(
    { weight: 8, arbitrary: text.map((text): Pieces => [text]) },
    {
      weight: 5,
      arbitrary: fc
        .tuple(good, name, junk)
        .map(([object, name, value]) => withToken(object, name, [JSON.stringify(value)])),
    },
    { weight: 3, arbitrary: fc.tuple(good, name, tokens).map((args) => withToken(...args)) },
    { weight: 2, arbitrary: fc.oneof(strange, tokens) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(text, fc.nat(200))
        .map(([text, at]): ReadonlyArray<Piece> => [text.slice(0, at % (text.length + 1))]),
    },
    { weight: 1, arbitrary: noise },
  )
}
