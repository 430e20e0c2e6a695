import { Option, Schema, SchemaAST } from "effect"
import { expected } from "../../domain/Failure.ts"
import { SessionId } from "../../domain/Ids.ts"

/** How the wire writes things, whatever the route. */

/** Times are integer Unix seconds; inside, milliseconds. */
export const UnixSeconds = Schema.Int.annotations({
  description: "Unix time in seconds (UTC).",
  examples: [1_790_000_000],
})

export const toSeconds = (millis: number): number => Math.floor(millis / 1000)
export const toSecondsOrNull = (millis: number | null): number | null =>
  millis === null ? null : toSeconds(millis)

/**
 * A field that may be left out, or `null`, which means the same: clients in typed languages send it. What is said
 * of a bad value is the field's own message; a union's would tell of each member, and quote the value.
 */
export const optional = <A, I>(schema: Schema.Schema<A, I>) => {
  const message = SchemaAST.getMessageAnnotation(schema.ast).pipe(
    Option.getOrElse(() => expected("is not what is expected here")),
  )
  const nullable = Schema.NullOr(schema).annotations({
    message,
  })
  return Schema.optionalWith(nullable, { exact: true })
}

/** A request body: unknown fields are refused, and all that is wrong is said at once. */
export const body = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({
    parseOptions: { onExcessProperty: "error", errors: "all" },
    message: () => "must be a JSON object",
  })

/** The parameters behind the `?`: unknown ones are refused. */
export const query = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({ parseOptions: { onExcessProperty: "error", errors: "all" } })

const FILES_MAX = 100

/** The uploads that go with a prompt. */
export const FileTokens = Schema.Array(Schema.String)
  .annotations({ parseOptions: { errors: "first" } })
  .pipe(
    Schema.maxItems(FILES_MAX),
    Schema.annotations({
      message: expected(`must be a list of at most ${FILES_MAX} file tokens`),
      description: "Tokens of uploaded files that the model may read.",
    }),
  )

/** A whole number behind the `?`. */
export const wholeNumber = (min: number, max: number) =>
  Schema.transform(
    Schema.String.pipe(Schema.pattern(/^\d{1,16}$/)),
    Schema.Int.pipe(Schema.between(min, max)),
    { strict: true, decode: Number, encode: String },
  ).annotations({
    message: expected(`must be a whole number from ${min} to ${max}`),
    jsonSchema: { type: "integer", minimum: min, maximum: max },
  })

/** A parameter that may be left out. */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

/** How many there may be in one answer. */
export const ListLimit = wholeNumber(1, 500).annotations({
  description: "How many to answer with, 1 to 500; by default 50.",
})
export const LIST_LIMIT = 50

/** A session, as a filter. */
export const SessionFilter = SessionId.annotations({
  message: expected("must be a session's id"),
  description: "Those of that session only.",
})
