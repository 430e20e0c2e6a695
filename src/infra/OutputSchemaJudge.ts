import { Ajv, type ErrorObject, type ValidateFunction } from "ajv"
import { Ajv2019 } from "ajv/dist/2019.js"
import { Ajv2020 } from "ajv/dist/2020.js"
import type { Issue } from "../domain/Failure.ts"
import type { Verdict, Work } from "./OutputSchemaVerdicts.ts"

const ISSUES_MAX = 20

type Schema = Readonly<Record<string, unknown>>

/** A validator for the dialect that the schema names: 2020-12, 2019-09 or draft-07. Without a name: 2020-12. */
const validatorFor = ({ $schema }: Schema): Ajv => {
  const options = {
    strict: false,
    allErrors: true,
    ownProperties: true,
    validateFormats: false,
    logger: false as const,
  }
  if (typeof $schema !== "string" || $schema.includes("2020-12")) return new Ajv2020(options)
  if ($schema.includes("2019-09")) return new Ajv2019(options)
  return new Ajv(options)
}

/**
 * Whether the CLI's structured output can enforce the schema: it must describe an object, in plain draft-07, because the
 * CLI silently drops any other schema. And the provider must accept it as the input of a tool.
 */
const isNative = (schema: Schema): boolean => {
  if (schema["type"] !== "object" || "$schema" in schema) return false
  try {
    if (!isToolInput(schema)) return false
    const options = { strict: true, strictTypes: false, strictTuples: false, validateFormats: false }
    new Ajv({ ...options, logger: false }).compile(schema)
    return true
  } catch {
    return false
  }
}

/** Keywords that the provider refuses at the top of a tool's input. `$ref` would replace what is beside it in draft-07. */
const NOT_AT_TOP = ["oneOf", "anyOf", "allOf", "$ref"]

/** Keywords whose value has the names of properties as keys, or in a list. */
const NAMING = new Set(["properties", "required", "dependencies", "dependentRequired", "dependentSchemas"])

/** The names that the provider accepts for properties of a tool's input. */
const PROPERTY_NAME = /^[a-zA-Z0-9_.-]{1,64}$/

/**
 * Whether the Messages API accepts the schema as the input of a tool. It must also be valid in draft 2020-12, as any schema
 * is that names no dialect and was compiled.
 */
const isToolInput = (schema: Schema): boolean =>
  !NOT_AT_TOP.some((keyword) => keyword in schema) && hasToolNames(schema)

/** Whether all properties, at any depth, have names that the provider accepts. */
const hasToolNames = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return true
  return Object.entries(value).every(([keyword, inner]) => {
    if (!NAMING.has(keyword)) return hasToolNames(inner)
    return namesIn(inner).every((name) => PROPERTY_NAME.test(name)) && hasToolNames(inner)
  })
}

/** The names in the value of a keyword of `NAMING`: its keys, and the texts in its lists. */
const namesIn = (value: unknown): ReadonlyArray<string> => {
  if (Array.isArray(value)) return value.filter((name) => typeof name === "string")
  if (typeof value !== "object" || value === null) return []
  return [...Object.keys(value), ...Object.values(value).filter(Array.isArray).flatMap(namesIn)]
}

const invalid = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })

/** Converts an error of Ajv. A name in the path that is not in the schema is part of the answer, and becomes `*`. */
const toIssue =
  (schema: string) =>
  ({ instancePath, message }: ErrorObject): Issue => ({
    path: instancePath
      .split("/")
      .slice(1)
      .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"))
      .map((name) => (/^\d+$/.test(name) || schema.includes(`${JSON.stringify(name)}:`) ? name : "*")),
    message: message ?? "does not fit",
  })

/** The message for a schema that does not compile. Ajv's own text is used only if it is about the schema. */
const compileErrorOf = (error: unknown): string => {
  const message = error instanceof Error ? error.message : ""
  return /^(schema is invalid|can't resolve reference|no schema with key|Invalid regular expression)/.test(
    message,
  )
    ? `is no JSON Schema: ${message.slice(0, 200)}`
    : "is no JSON Schema"
}

const compile = (schema: Schema): ValidateFunction | string => {
  try {
    return validatorFor(schema).compile(schema)
  } catch (error) {
    return compileErrorOf(error)
  }
}

/** Compiles a JSON Schema and checks a value, if there is one. A hostile schema can make it take for ever. */
export const judge = ({ schema, value }: Work): Verdict => {
  // `$async` is a keyword of Ajv's own, not of JSON Schema: it makes validators return a promise.
  const { $async: _, ...parsed } = JSON.parse(schema) as Schema
  const validate = compile(parsed)
  if (typeof validate === "string") return invalid(validate)
  if (value === undefined) return { _tag: "Valid", native: isNative(parsed) }
  try {
    return validate(JSON.parse(value)) === true
      ? { _tag: "Valid", native: false }
      : { _tag: "Invalid", issues: (validate.errors ?? []).slice(0, ISSUES_MAX).map(toIssue(schema)) }
  } catch {
    return invalid("cannot be checked")
  }
}
