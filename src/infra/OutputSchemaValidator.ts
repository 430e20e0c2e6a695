import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { Context, Deferred, Duration, Effect, Exit, Layer, Option } from "effect"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { monotonicMillis } from "../services/time/Monotonic.ts"
import { judgedBy, type Verdict, type Work } from "./OutputSchemaVerdicts.ts"

/**
 * How much processor time a thread may take to compile a schema or check a value, after it has loaded its modules. Other
 * programs on a busy machine do not use it up.
 */
export class Deadline extends Context.Reference<Deadline>()("clawdforge/OutputSchemaValidator/Deadline", {
  defaultValue: () => Duration.seconds(2),
}) {}
/** How long a thread is waited for, whatever it has had of the processor. */
const WAIT_MAX_MILLIS = 60_000
/** How long a thread may take to say how much processor time it has used. */
const USAGE_TIMEOUT = Duration.seconds(1)
/** The shortest pause before it is asked again. */
const PAUSE_MIN_MILLIS = 50
/** The number of threads at the same time. */
const THREADS = 2
const THREAD_LIMITS = { maxOldGenerationSizeMb: 256, stackSizeMb: 4 }
/** The worker's file has the same extension as this one: `.ts` in a checkout, `.js` in a package. */
const WORKER = new URL(`./OutputSchemaWorker${extname(import.meta.url)}`, import.meta.url)

/**
 * Runs Ajv in a new worker thread for each call. A schema that never ends, or uses up the memory of its thread, does not
 * affect anything else: the call fails after `Deadline`, or when the thread dies. A thread that cannot start, or gets no
 * processor, says nothing of the schema: the verdict is then `Unjudged`.
 */
export const layer = Layer.effect(
  OutputSchemas,
  Effect.gen(function* () {
    const deadline = yield* Deadline
    const threads = yield* Effect.makeSemaphore(THREADS)
    return judgedBy((work) => threads.withPermits(1)(judgeInThread(work, Duration.toMillis(deadline))))
  }),
)

const invalid = (message: string): Verdict => ({ _tag: "Invalid", issues: [{ path: [], message }] })
const UNJUDGED: Verdict = { _tag: "Unjudged" }

const judgeInThread = (work: Work, deadlineMillis: number): Effect.Effect<Verdict> =>
  Effect.acquireUseRelease(
    // Node throws when it has no descriptors for a thread.
    Effect.try(() => new Worker(WORKER, { workerData: work, resourceLimits: THREAD_LIMITS })),
    (worker) => verdictOf(worker, deadlineMillis),
    (worker) => Effect.promise(() => worker.terminate()),
  ).pipe(Effect.catchAll(({ error }) => unjudged(error)))

/** A thread failed before it looked at the schema. */
const unjudged = (error: unknown): Effect.Effect<Verdict> =>
  Effect.as(Effect.logWarning("a schema could not be checked", error), UNJUDGED)

const verdictOf = (worker: Worker, deadlineMillis: number): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const ready = yield* Deferred.make<void, unknown>()
    const verdict = yield* Deferred.make<Verdict>()
    const finish = (result: Verdict) => void Deferred.unsafeDone(verdict, Exit.succeed(result))
    const die = (error: unknown) => {
      // Once the modules are loaded, only the schema can end the thread: it needs too much memory.
      Deferred.unsafeDone(ready, Exit.fail(error))
      finish(invalid("cannot be worked with"))
    }
    worker.on("message", (message: "ready" | Verdict) =>
      message === "ready" ? Deferred.unsafeDone(ready, Exit.void) : finish(message),
    )
    worker.once("error", die)
    worker.once("exit", die)
    const isReady = yield* Effect.exit(Effect.timeout(Deferred.await(ready), WAIT_MAX_MILLIS))
    if (Exit.isFailure(isReady)) return yield* unjudged(isReady.cause)
    return yield* withinProcessorTime(worker, Deferred.await(verdict), deadlineMillis)
  })

/** A thread that can be asked for its processor time. Node before 24.6 cannot say it. */
export type ObservedThread = Partial<Pick<Worker, "cpuUsage">>

/** Waits for a verdict until the thread has used up its processor time. Without its processor time, all time counts. */
export const withinProcessorTime = (
  worker: ObservedThread,
  verdict: Effect.Effect<Verdict>,
  deadlineMillis: number,
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const start = yield* monotonicMillis
    const usedBefore = yield* processorMillis(worker)
    for (let used = 0; ; ) {
      const left = Math.max(PAUSE_MIN_MILLIS, deadlineMillis - used)
      const found = yield* Effect.timeoutOption(verdict, left)
      if (Option.isSome(found)) return found.value
      const waited = (yield* monotonicMillis) - start
      const now = yield* processorMillis(worker)
      if (worker.cpuUsage === undefined) used = waited
      else if (now !== undefined) used = now - (usedBefore ?? 0)
      if (used >= deadlineMillis) return invalid("takes too long to check")
      if (waited >= WAIT_MAX_MILLIS) return yield* unjudged("its thread got no processor")
    }
  })

/** The processor time of a thread, in milliseconds. Undefined if it does not say. */
const processorMillis = (worker: ObservedThread): Effect.Effect<number | undefined> =>
  Effect.tryPromise(() => worker.cpuUsage?.() ?? Promise.resolve(undefined)).pipe(
    Effect.timeout(USAGE_TIMEOUT),
    Effect.map((usage) => usage && Math.ceil((usage.user + usage.system) / 1000)),
    Effect.orElseSucceed(() => undefined),
  )
