import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { Deferred, Duration, Effect, Exit, Layer } from "effect"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { judgedBy, type Verdict, type Work } from "./OutputSchemaVerdicts.ts"

/** How long a thread may take to compile a schema or check a value, after it has loaded its modules. */
const DEADLINE = Duration.seconds(2)
/** The number of threads at the same time. More would slow each other down past the deadline. */
const THREADS = 2
const THREAD_LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 4 }
/** The worker's file has the same extension as this one: `.ts` in a checkout, `.js` in a package. */
const WORKER = new URL(`./OutputSchemaWorker${extname(import.meta.url)}`, import.meta.url)

/**
 * Runs Ajv in a new worker thread for each call. A schema that never ends, or uses up the memory of its thread, does not
 * affect anything else: the call fails after `DEADLINE`, or when the thread dies.
 */
export const layer = Layer.effect(
  OutputSchemas,
  Effect.map(Effect.makeSemaphore(THREADS), (threads) =>
    judgedBy((work) => threads.withPermits(1)(judgeInThread(work))),
  ),
)

const invalid = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })

const judgeInThread = (work: Work): Effect.Effect<Verdict> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () =>
        new Worker(WORKER, {
          workerData: work,
          resourceLimits: THREAD_LIMITS,
        }),
    ),
    verdictOf,
    (worker) => Effect.promise(() => worker.terminate()),
  )

const verdictOf = (worker: Worker) =>
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
        duration: DEADLINE,
        onSuccess: (result) => result,
        onTimeout: () => invalid("takes too long to check"),
      }),
    )
  })
