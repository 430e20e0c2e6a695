import { Effect } from "effect"
import { AnswerMismatch, InvalidRequest, type Issue } from "../domain/Failure.ts"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"

/** A schema to compile and, if present, a value to check against it. Both are JSON texts. */
export interface Work {
  readonly schema: string
  readonly value?: string
}

export type Verdict =
  | { readonly _tag: "Valid"; readonly native: boolean }
  | { readonly _tag: "Invalid"; readonly issues: ReadonlyArray<Issue> }

/** Makes the service from a function that judges schemas and values. */
export const judgedBy = (judge: (work: Work) => Effect.Effect<Verdict>) =>
  OutputSchemas.of({
    check: (schema) =>
      Effect.flatMap(judge({ schema: JSON.stringify(schema) }), (verdict) =>
        verdict._tag === "Valid"
          ? Effect.succeed({ native: verdict.native })
          : new InvalidRequest({ issues: withPrefix(verdict.issues) }),
      ),
    fits: (schema, value) =>
      Effect.flatMap(judge({ schema: JSON.stringify(schema), value: JSON.stringify(value) }), (verdict) =>
        verdict._tag === "Valid" ? Effect.void : new AnswerMismatch({ issues: verdict.issues }),
      ),
  })

const withPrefix = (issues: ReadonlyArray<Issue>) =>
  issues.map(({ path, message }) => ({ path: ["output_schema", ...path], message }))
