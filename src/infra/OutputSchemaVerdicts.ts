import { Effect } from "effect"
import { AnswerMismatch, InvalidRequest, type Issue, Overloaded } from "../domain/Failure.ts"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"

/** A schema to compile and, if present, a value to check against it. Both are JSON texts. */
export interface Work {
  readonly schema: string
  readonly value?: string
}

export type Verdict =
  | { readonly _tag: "Valid"; readonly native: boolean }
  | { readonly _tag: "Invalid"; readonly issues: ReadonlyArray<Issue> }
  /** The machine could not judge it: it has no threads, descriptors, memory or time. */
  | { readonly _tag: "Unjudged" }

/** Makes the service from a function that judges schemas and values. */
export const judgedBy = (judge: (work: Work) => Effect.Effect<Verdict>) =>
  OutputSchemas.of({
    check: (schema) =>
      Effect.flatMap(
        judge({ schema: JSON.stringify(schema) }),
        (verdict): Effect.Effect<{ readonly native: boolean }, InvalidRequest | Overloaded> => {
          switch (verdict._tag) {
            case "Valid":
              return Effect.succeed({ native: verdict.native })
            case "Invalid":
              return new InvalidRequest({ issues: withPrefix(verdict.issues) })
            case "Unjudged":
              return new Overloaded(UNJUDGED)
          }
        },
      ),
    fits: (schema, value) =>
      Effect.flatMap(
        judge({ schema: JSON.stringify(schema), value: JSON.stringify(value) }),
        (verdict): Effect.Effect<void, AnswerMismatch | Overloaded> => {
          switch (verdict._tag) {
            case "Valid":
              return Effect.void
            case "Invalid":
              return new AnswerMismatch({ issues: verdict.issues })
            case "Unjudged":
              return new Overloaded(UNJUDGED)
          }
        },
      ),
  })

const UNJUDGED = { because: "schema_unchecked", retryAfterSecs: 5 } as const

const withPrefix = (issues: ReadonlyArray<Issue>) =>
  issues.map(({ path, message }) => ({ path: ["output_schema", ...path], message }))
