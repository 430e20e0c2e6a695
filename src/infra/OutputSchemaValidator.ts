import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { Deferred, Duration, Effect, Exit, Layer } from "effect"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { judgedBy, type Verdict, type Work } from "./OutputSchemaVerdicts.ts"

/** What compiling a schema, or checking a value, may take once its thread has loaded what it needs. */
const DEADLINE = Duration.seconds(2)
/** Threads at once: more would only slow each other down past the deadline. */
const THREADS = 2
const THREAD_LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 4 }
/** Beside us, in the language that we are in: TypeScript in a checkout, compiled in a package. */
const WORKER = new URL(`./OutputSchemaWorker${extname(import.meta.url)}`, import.meta.url)

/** Ajv in a worker thread of its own for each call: what hangs there, or runs out of memory, hangs nobody else. */
export const layer = Layer.effect(
  OutputSchemas,
  Effect.map(Effect.makeSemaphore(THREADS), (threads) =>
    judgedBy((work) => threads.withPermits(1)(inThread(work))),
  ),
)

const refused = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })

const inThread = (work: Work): Effect.Effect<Verdict> =>
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
    const give = (given: Verdict) => {
      Deferred.unsafeDone(ready, Exit.void)
      Deferred.unsafeDone(verdict, Exit.succeed(given))
    }
    worker.on("message", (said: "ready" | Verdict) =>
      said === "ready" ? Deferred.unsafeDone(ready, Exit.void) : give(said),
    )
    worker.once("error", () => give(refused("cannot be worked with")))
    worker.once("exit", () => give(refused("cannot be worked with")))
    yield* Deferred.await(ready)
    return yield* Deferred.await(verdict).pipe(
      Effect.timeoutTo({
        duration: DEADLINE,
        onSuccess: (given) => given,
        onTimeout: () => refused("takes too long to check"),
      }),
    )
  })
