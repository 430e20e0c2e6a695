import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { Context, Deferred, Duration, Effect, Exit, Layer } from "effect"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { judgedBy, type Verdict, type Work } from "./OutputSchemaVerdicts.ts"

/** How long a thread may take to compile a schema or check a value, after it has loaded its modules. */
export class Deadline extends Context.Reference<Deadline>()("clawdforge/OutputSchemaValidator/Deadline", {
  defaultValue: () => Duration.seconds(2),
}) {}
/** The number of threads at the same time. More would slow each other down past the deadline. */
const THREADS = 2
const THREAD_LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 4 }
/** The worker's file has the same extension as this one: `.ts` in a checkout, `.js` in a package. */
const WORKER = new URL(`./OutputSchemaWorker${extname(import.meta.url)}`, import.meta.url)

/**
 * Runs Ajv in a new worker thread for each call. A schema that never ends, or uses up the memory of its thread, does not
 * affect anything else: the call fails after `Deadline`, or when the thread dies.
 */
export const layer = Layer.effect(
  OutputSchemas,
  Effect.gen(function* () {
    const deadline = yield* Deadline
    const threads = yield* Effect.makeSemaphore(THREADS)
    return judgedBy((work) => threads.withPermits(1)(judgeInThread(work, deadline)))
  }),
)

const invalid = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })

const judgeInThread = (work: Work, deadline: Duration.Duration): Effect.Effect<Verdict> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () =>
        new Worker(WORKER, {
          workerData: work,
          resourceLimits: THREAD_LIMITS,
        }),
    ),
    (worker) => verdictOf(worker, deadline),
    (worker) => Effect.promise(() => worker.terminate()),
  )

const verdictOf = (worker: Worker, deadline: Duration.Duration) =>
  Effect.gen(function* () {
    const ready = yield* Deferred.make<void>()
    const verdict = yield* Deferred.make<Verdict>()
    const finish = (result: Verdict) => {
      Deferred.unsafeDone(ready, Exit.void)
      Deferred.unsafeDone(verdict, Exit.succeed(result))
    }
    worker.on("message", (message: "ready" | Verdict) =>
      message === "ready" ? Deferred.unsafeDone(ready, Exit.void) : finish(message),
    )
    worker.once("error", () => finish(invalid("cannot be worked with")))
    worker.once("exit", () => finish(invalid("cannot be worked with")))
    yield* Deferred.await(ready)
    return yield* Deferred.await(verdict).pipe(
      Effect.timeoutTo({
        duration: deadline,
        onSuccess: (result) => result,
        onTimeout: () => invalid("takes too long to check"),
      }),
    )
  })
