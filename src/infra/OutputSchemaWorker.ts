import { parentPort, workerData } from "node:worker_threads"
import { Ajv, type ErrorObject } from "ajv"
import { Ajv2019 } from "ajv/dist/2019.js"
import { Ajv2020 } from "ajv/dist/2020.js"
import type { Issue } from "../domain/Failure.ts"

/** Runs in a worker thread: compiles a JSON Schema and, if there is one, checks a value. Both come as JSON. */
export interface Work {
  readonly schema: string
  readonly value?: string
}

export type Verdict =
  | { readonly _tag: "Valid"; readonly native: boolean }
  | { readonly _tag: "Invalid"; readonly issues: ReadonlyArray<Issue> }

const ISSUES_MAX = 20

type Schema = Readonly<Record<string, unknown>>

/** The dialect that the schema names; JSON Schema 2020-12 if it names none. */
const validatorFor = ({ $schema }: Schema): Ajv => {
  const options = { strict: false, allErrors: true, validateFormats: false, logger: false as const }
  if (typeof $schema !== "string" || $schema.includes("2020-12")) return new Ajv2020(options)
  if ($schema.includes("2019-09")) return new Ajv2019(options)
  return new Ajv(options)
}

/** Whether the CLI's structured output takes it: an object, in plain draft-07. It drops anything else silently. */
const isNative = (schema: Schema): boolean => {
  if (schema["type"] !== "object" || "$schema" in schema) return false
  try {
    new Ajv({
      strict: true,
      strictTypes: false,
      strictTuples: false,
      validateFormats: false,
      logger: false,
    }).compile(schema)
    return true
  } catch {
    return false
  }
}

const toIssue = ({ instancePath, message }: ErrorObject): Issue => ({
  path: instancePath.split("/").slice(1),
  message: message ?? "does not fit",
})

const judge = ({ schema, value }: Work): Verdict => {
  const parsed = JSON.parse(schema) as Schema
  try {
    const validate = validatorFor(parsed).compile(parsed)
    if (value === undefined || validate(JSON.parse(value))) return { _tag: "Valid", native: isNative(parsed) }
    return { _tag: "Invalid", issues: (validate.errors ?? []).slice(0, ISSUES_MAX).map(toIssue) }
  } catch (error) {
    return {
      _tag: "Invalid",
      issues: [{ path: [], message: `is no JSON Schema: ${(error as Error).message.slice(0, 200)}` }],
    }
  }
}

parentPort?.postMessage(judge(workerData as Work))
