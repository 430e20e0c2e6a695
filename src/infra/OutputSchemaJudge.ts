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
 * Whether the CLI's structured output can enforce the schema: it must describe an object, in plain draft-07. The CLI
 * silently drops any other schema.
 */
const isNative = (schema: Schema): boolean => {
  if (schema["type"] !== "object" || "$schema" in schema) return false
  try {
    const options = { strict: true, strictTypes: false, strictTuples: false, validateFormats: false }
    new Ajv({ ...options, logger: false }).compile(schema)
    return true
  } catch {
    return false
  }
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
