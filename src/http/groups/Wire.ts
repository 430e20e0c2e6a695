import { HttpApiSchema, OpenApi } from "@effect/platform"
import { Context, Option, Schema, SchemaAST } from "effect"
import { expected } from "../../domain/Failure.ts"
import { SessionId } from "../../domain/Ids.ts"

/** Schemas that several routes share. */

/** Times on the wire are integer Unix seconds; in the service they are milliseconds. */
export const UnixSeconds = Schema.Int.annotations({
  description: "Unix time in seconds (UTC).",
  examples: [1_790_000_000],
})

export const toSeconds = (millis: number): number => Math.floor(millis / 1000)
export const toSecondsOrNull = (millis: number | null): number | null =>
  millis === null ? null : toSeconds(millis)

/**
 * An optional field of a body. `null` means the same as an absent field: clients in typed languages send it. A bad value
 * gets the field's own message; a union's message would list each member and quote the value.
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

/** A request body. Unknown fields are refused, and one answer lists all issues. */
export const body = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({
    parseOptions: { onExcessProperty: "error", errors: "all" },
    message: () => "must be a JSON object",
  })

/** Query parameters. Unknown ones are refused, and one answer lists all issues. */
export const query = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({ parseOptions: { onExcessProperty: "error", errors: "all" } })

const FILES_MAX = 100

/** Tokens of the files that belong to a prompt. */
export const FileTokens = Schema.Array(Schema.String)
  .annotations({ parseOptions: { errors: "first" } })
  .pipe(
    Schema.maxItems(FILES_MAX),
    Schema.annotations({
      message: expected(`must be a list of at most ${FILES_MAX} file tokens`),
      description: "Tokens of uploaded files that the model may read.",
    }),
  )

/** A whole number as a query parameter. */
export const wholeNumber = (min: number, max: number, description: string) =>
  Schema.transform(
    Schema.String.pipe(Schema.pattern(/^\d{1,16}$/)),
    Schema.Int.pipe(Schema.between(min, max)),
    { strict: true, decode: Number, encode: String },
  ).annotations({
    message: expected(`must be a whole number from ${min} to ${max}`),
    jsonSchema: { type: "integer", minimum: min, maximum: max, description },
  })

/** An optional query parameter or header. */
export const optionalParam = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(schema, { exact: true })

/** The length of a page of a list. */
export const ListLimit = wholeNumber(1, 500, "How many to answer with, 1 to 500; by default 50.")
export const LIST_LIMIT = 50

/** Selects the records of one session. */
export const SessionFilter = SessionId.annotations({
  message: expected("must be a session's id"),
  description: "Those of that session only.",
})

/** The form of a route's successful answer: JSON, an event stream, or either. Routes that stream are annotated. */
export class Answers extends Context.Reference<Answers>()("clawdforge/http/Answers", {
  defaultValue: (): "json" | "events" | "either" => "json",
}) {}

const EVENTS = {
  description:
    'Events, as they come: `run`, a `message` for each message of the agent, and at last one `result` or `error`. With `deltas=1` also `delta` events: `{"text":"…"}` is the next piece of the answer, `{"reset":true}` says that the agent begins it anew.',
}

/** The answer of a route that only streams. */
export const EventStreamBody = HttpApiSchema.Text({ contentType: "text/event-stream" }).annotations(EVENTS)

/**
 * Annotates a route that answers in JSON or as a stream. The framework's document cannot declare two forms of one answer,
 * so the transform adds the second one.
 */
export const ALSO_STREAMS = Context.make(Answers, "either" as const).pipe(
  Context.add(OpenApi.Transform, (operation) => {
    const { "200": answer, ...others } = operation["responses"]
    const events = { "text/event-stream": { schema: { type: "string", ...EVENTS } } }
    return {
      ...operation,
      responses: { "200": { ...answer, content: { ...answer.content, ...events } }, ...others },
    }
  }),
)

export const OnDisconnect = Schema.Literal("continue", "cancel").annotations({
  message: expected("must be continue or cancel"),
  description: "What becomes of the work when the client hangs up.",
})

export const Include = {
  include: Schema.optional(
    Schema.Literal("usage").annotations({
      message: expected("must be usage"),
      description: "`usage` adds tokens, cost, model and session id to the answer.",
    }),
  ),
}

/** What the answer to a turn has beyond the events: any of `text` and `usage`, with a comma between them. */
export const TurnInclude = {
  include: Schema.optional(
    Schema.Literal("text", "usage", "text,usage", "usage,text").annotations({
      message: expected("must be text, usage, or text,usage"),
      description:
        "`text` adds the agent's words, joined; `usage` adds tokens, cost and the model that answered.",
    }),
  ),
}

/** Which parts an `include` parameter names. */
export const includedIn = (include: string | undefined) => {
  const parts = include?.split(",") ?? []
  return { text: parts.includes("text"), usage: parts.includes("usage") }
}

/** The id of an event after which a list or a stream starts. */
export const EventId = Schema.String.pipe(
  Schema.pattern(/^\d{1,15}$/),
  Schema.annotations({
    message: expected("must be the id of an event, a whole number from 0"),
    examples: ["4711"],
  }),
)

/** The id of an event of a run's stream. The events that `deltas` adds have a dot and a digit after that of their message. */
export const RunEventId = Schema.String.pipe(
  Schema.pattern(/^\d{1,15}(\.[12])?$/),
  Schema.annotations({
    message: expected("must be the id of an event, such as 4711 or 4711.1"),
    examples: ["4711"],
  }),
)

/** Whether a stream has the answer's text in pieces. */
export const Deltas = {
  deltas: optionalParam(
    Schema.Literal("0", "1").annotations({
      message: expected("must be 0 or 1"),
      description:
        "With `1`, a stream has a `delta` event for each piece of the answer's text, after the message that it comes from.",
    }),
  ),
}

export const RUN_ID = "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC"

/** Any text is allowed: a text that cannot be a run's id is answered like an unknown run, with 404. */
export const RunPath = Schema.Struct({
  id: Schema.String.annotations({ description: "The run's id, as `X-Run-Id` has it.", examples: [RUN_ID] }),
})

export const Cancelled = Schema.Struct({
  ok: Schema.Literal(true),
  cancelled: Schema.Boolean.annotations({ description: "False when there was nothing to cancel." }),
}).annotations({ identifier: "Cancelled", examples: [{ ok: true, cancelled: true }] })
