import { Worker } from "node:worker_threads"
import { Duration, Effect, Layer } from "effect"
import { AnswerMismatch, InvalidRequest, type Issue } from "../domain/Failure.ts"
import { OutputSchemas } from "../services/OutputSchemas.ts"
import type { Verdict, Work } from "./OutputSchemaWorker.ts"

/** What compiling a schema, or checking a value, may take. */
const DEADLINE = Duration.seconds(2)
const WORKER_LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 4 }

/** Ajv in a worker thread of its own for each call: what hangs there, or runs out of memory, hangs nobody else. */
export const layer = Layer.succeed(OutputSchemas, {
  check: (schema) =>
    Effect.flatMap(inWorker({ schema: JSON.stringify(schema) }), (verdict) =>
      verdict._tag === "Valid"
        ? Effect.succeed({ native: verdict.native })
        : new InvalidRequest({ issues: prefixed(verdict.issues) }),
    ),
  fits: (schema, value) =>
    Effect.flatMap(inWorker({ schema: JSON.stringify(schema), value: JSON.stringify(value) }), (verdict) =>
      verdict._tag === "Valid" ? Effect.void : new AnswerMismatch({ issues: verdict.issues }),
    ),
})

const prefixed = (issues: ReadonlyArray<Issue>) =>
  issues.map(({ path, message }) => ({ path: ["output_schema", ...path], message }))

const refused = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })

const inWorker = (work: Work): Effect.Effect<Verdict> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () =>
        new Worker(new URL("./OutputSchemaWorker.ts", import.meta.url), {
          workerData: work,
          resourceLimits: WORKER_LIMITS,
        }),
    ),
    (worker) =>
      Effect.async<Verdict>((resume) => {
        worker.once("message", (verdict: Verdict) => resume(Effect.succeed(verdict)))
        worker.once("error", () => resume(Effect.succeed(refused("cannot be worked with"))))
      }),
    (worker) => Effect.promise(() => worker.terminate()),
  ).pipe(
    Effect.timeoutTo({
      duration: DEADLINE,
      onSuccess: (verdict) => verdict,
      onTimeout: () => refused("takes too long to check"),
    }),
  )
