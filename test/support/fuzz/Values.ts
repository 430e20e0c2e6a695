import { FastCheck as fc } from "effect"
import type { JsonSchema } from "./Routes.ts"

/** Values for a schema of the OpenAPI document, mostly good ones, and values that fit hardly any. */

/** Stands in a request for an upload that is there when it is sent. */
export const SOME_FILE = "<an upload>"
/** They stand for sessions of the app's that were opened beforehand; some are closed on the way. */
export const SOME_SESSIONS = Array.from({ length: 64 }, (_, n) => `some-session-${n}-`)
/** No answer may ever contain it: what a client sent as a value is not told back. */
export const CANARY = "CANARY-7A6B"

/** Optional fields are rare: one in so many. Each schema for an answer costs the service a thread. */
const OPTIONAL_ONE_IN = 15

/** Texts of all scripts, among them what turns a line around or ends it. */
export const texts = fc.oneof(
  fc.string(),
  fc.constantFrom("😀 naïve 漢字", "\u202Etxt.exe", "\u2028", "a\u0000b", "\uFFFF", "👩‍👩‍👧".repeat(1000)),
)

export const valueFor = (schema: JsonSchema): fc.Arbitrary<unknown> => {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(valueFor))
  const examples = schema.examples ?? []
  const made = byType(schema)
  return examples.length === 0 ? made : fc.oneof(fc.constantFrom(...examples), made)
}

const byType = (schema: JsonSchema): fc.Arbitrary<unknown> => {
  switch (schema.type) {
    case "object":
      return schema.properties === undefined || Object.keys(schema.properties).length === 0
        ? fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 })
        : fieldsFor(schema.properties, schema.required ?? [])
    case "array":
      return fc.array(valueFor(schema.items ?? {}), { maxLength: 3 })
    case "string":
      return schema.pattern === undefined
        ? fc.oneof(texts, fc.constantFrom(SOME_FILE, CANARY))
        : fc.stringMatching(new RegExp(schema.pattern))
    case "integer":
      return fc.integer({ min: schema.minimum ?? -9, max: schema.maximum ?? 9 })
    case "number":
      return fc.double()
    case "boolean":
      return fc.boolean()
    case "null":
      return fc.constant(null)
    default:
      return fc.jsonValue()
  }
}

const fieldsFor = (properties: Readonly<Record<string, JsonSchema>>, required: ReadonlyArray<string>) => {
  const fields = Object.entries(properties).map(([name, schema]) => {
    const value = valueFor(schema).map((value): ReadonlyArray<[string, unknown]> => [[name, value]])
    return required.includes(name)
      ? value
      : fc.oneof({ weight: OPTIONAL_ONE_IN - 1, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: value })
  })
  return fc.tuple(...fields).map((entries) => Object.fromEntries(entries.flat()))
}

/** A value that hardly any field takes. */
export const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    "",
    " \n",
    CANARY,
    [CANARY],
    { [`x${"y".repeat(100)}`]: CANARY },
    -1,
    1.5,
    1e21,
    Number.MAX_SAFE_INTEGER + 2,
    "\u0000",
    "\uD800",
    "\uDC00\uD800",
    [],
    {},
    [[[[]]]],
    { $ref: "#" },
    { constructor: { prototype: {} } },
    { toString: 1, valueOf: 1, toJSON: 1, _tag: "Some", length: -1 },
    Array.from({ length: 5000 }, () => 0),
  ),
  fc.jsonValue(),
)

/** Names that an object has without being told, and others that nobody asked for. */
export const strangeNames = fc.constantFrom(
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "_tag",
  "",
  "\u0000",
  "\uD800",
  "prompt\u0000",
  "Prompt",
  "a".repeat(10_000),
  "0",
  "-1",
)
