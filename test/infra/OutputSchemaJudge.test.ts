import { describe, expect, it } from "@effect/vitest"
import { judge } from "../../src/infra/OutputSchemaJudge.ts"

const object = (properties: object, more: object = {}) => ({ type: "object", properties, ...more })
const named = (name: string) => object({ [name]: { type: "string" } })

/** Schemas that the CLI and the provider's tools can enforce. */
const NATIVE: ReadonlyArray<object> = [
  { type: "object" },
  named("qty"),
  named("a.b-c_9"),
  named("x".repeat(64)),
  named("properties"),
  object({ list: { type: "array", items: { anyOf: [named("a"), { type: "null" }] } } }),
  object({ of: { $ref: "#/definitions/x" } }, { definitions: { x: named("y") } }),
  object({ may: { type: "string", nullable: true } }),
]

/** Schemas that are asked for in words: the CLI drops them, or the provider refuses them. */
const IN_WORDS: ReadonlyArray<object> = [
  named("@type"),
  named("größe"),
  named("two words"),
  named(""),
  named("x".repeat(65)),
  object({ list: { type: "array", items: named("@id") } }),
  object({}, { definitions: { x: named("@id") } }),
  object({}, { anyOf: [named("a"), named("b")] }),
  object({}, { oneOf: [named("a"), named("b")] }),
  object({}, { allOf: [named("a")] }),
  object({}, { $ref: "#/definitions/x", definitions: { x: named("a") } }),
  object({}, { required: ["@type"] }),
  object({ a: {} }, { dependencies: { a: ["@type"] } }),
  { type: "array", items: named("a") },
  { type: ["object", "null"] },
  { properties: { a: {} } },
  { enum: ["a"] },
  {},
  { ...named("a"), $schema: "https://json-schema.org/draft/2020-12/schema" },
  object({ pair: { type: "array", prefixItems: [{ type: "number" }] } }),
]

describe("a schema of an answer", () => {
  it.each(NATIVE)("is enforced by the CLI: %j", (schema) => {
    expect(judge({ schema: JSON.stringify(schema) })).toEqual({ _tag: "Valid", native: true })
  })

  it.each(IN_WORDS)("is asked for in words: %j", (schema) => {
    expect(judge({ schema: JSON.stringify(schema) })).toEqual({ _tag: "Valid", native: false })
  })

  it("is asked for in words when it is deeper than anybody reads", () => {
    const levels = 8000
    const deep = `{"type":"object","default":${'{"a":'.repeat(levels)}1${"}".repeat(levels)}}`
    expect(judge({ schema: deep })).toMatchObject({ _tag: "Valid" })
  })
})
