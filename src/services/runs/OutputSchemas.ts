import { Context, type Effect } from "effect"
import type { AnswerMismatch, InvalidRequest, Overloaded } from "../../domain/Failure.ts"
import type { OutputSchema } from "../../domain/Run.ts"

/**
 * Port: checks of JSON Schemas, for the `output_schema` of a prompt.
 *
 * Schemas come from apps. A hostile schema can take for ever to compile or to check (a pathological pattern, references
 * that double at each step). So both have a limit of processor time, and neither blocks other requests.
 */
export class OutputSchemas extends Context.Tag("clawdforge/OutputSchemas")<
  OutputSchemas,
  {
    /**
     * Checks a schema. `native` says whether the CLI's own structured output can enforce it. Fails when it is no JSON
     * Schema, or takes too long to compile. Fails with `Overloaded` when the machine cannot check it now: that says nothing
     * of the schema.
     */
    readonly check: (
      schema: OutputSchema,
    ) => Effect.Effect<{ readonly native: boolean }, InvalidRequest | Overloaded>
    /**
     * Checks a value against a schema. Fails when the value does not fit, or the check takes too long; with `Overloaded`
     * when the machine cannot check it now.
     */
    readonly fits: (schema: OutputSchema, value: unknown) => Effect.Effect<void, AnswerMismatch | Overloaded>
  }
>() {}
