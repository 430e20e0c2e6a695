import { Context, type Effect } from "effect"
import type { AnswerMismatch, InvalidRequest } from "../../domain/Failure.ts"
import type { OutputSchema } from "../../domain/Run.ts"

/**
 * Port: JSON Schema, for the `output_schema` of a prompt.
 *
 * A schema comes from an app, and a hostile one can take for ever to compile or to check (a pathological
 * pattern, references that double at each step): both have a deadline and never hold up anybody else.
 */
export class OutputSchemas extends Context.Tag("clawdforge/OutputSchemas")<
  OutputSchemas,
  {
    /** Fails when the schema is no JSON Schema. Says whether the CLI's own structured output can enforce it. */
    readonly check: (schema: OutputSchema) => Effect.Effect<{ readonly native: boolean }, InvalidRequest>
    readonly fits: (schema: OutputSchema, value: unknown) => Effect.Effect<void, AnswerMismatch>
  }
>() {}
