import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"
import { Issue } from "../../domain/Failure.ts"
import { type AnyRow, MEDIA_TYPE, type Problem, TABLE, type Tag, TITLES } from "../Problem.ts"

/** The schemas by which routes declare their problems. */

const makeSchema = (row: AnyRow) =>
  Schema.Struct({
    ok: Schema.Literal(false),
    error: Schema.String,
    code: Schema.Literal(row.code),
    type: Schema.Literal("about:blank"),
    title: Schema.String,
    status: Schema.Literal(row.status),
    detail: Schema.String,
    request_id: Schema.String,
    retryable: Schema.Boolean,
    issues: Schema.optional(Schema.Array(Issue)),
    stderr: Schema.optional(Schema.String),
    exit_code: Schema.optional(Schema.Number),
    duration_ms: Schema.optional(Schema.Number),
    stop_reason: Schema.optional(Schema.String),
    resets_at: Schema.optional(Schema.Int),
  }).pipe(
    HttpApiSchema.withEncoding({ kind: "Json", contentType: MEDIA_TYPE }),
    Schema.annotations({
      ...HttpApiSchema.annotations({ status: row.status }),
      identifier: `${pascalCase(row.code)}Problem`,
      description: TITLES[row.status] ?? "",
      examples: [
        {
          ok: false,
          error: "a sentence for people",
          code: row.code,
          type: "about:blank",
          title: TITLES[row.status] ?? "",
          status: row.status,
          detail: "a sentence for people",
          request_id: "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC",
          retryable: row.retryable === true,
        },
      ],
    }),
  )

const pascalCase = (code: string) => code.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())

/** By code: clients cannot tell failures with the same code apart, so these share a schema. */
const schemas = new Map<string, ReturnType<typeof makeSchema>>()

const schemaOf = (tag: Tag) => {
  const row: AnyRow = TABLE[tag]
  const schema = schemas.get(row.code) ?? makeSchema(row)
  schemas.set(row.code, schema)
  return schema
}

/** The schema of the problems that a route may answer with, given the failures behind them. */
export const problems = <const T extends ReadonlyArray<Tag>>(...tags: T): Schema.Schema<Problem<T[number]>> =>
  Schema.Union(...new Set(tags.map(schemaOf))) as never
