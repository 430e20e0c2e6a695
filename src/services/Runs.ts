import {
  Cause,
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Option,
  type Scope,
} from "effect"
import {
  type Diagnosis,
  diagnosed,
  type InvalidRequest,
  type RunFailure,
  RunTimedOut,
  ShuttingDown,
  type StorageFailed,
} from "../domain/Failure.ts"
import type { RunId, TokenId } from "../domain/Ids.ts"
import { resultOf } from "../domain/Answer.ts"
import type { RunEnded, RunRequest, Usage } from "../domain/Run.ts"
import type { Origin } from "../domain/Token.ts"
import type { ClaudeAnswer } from "./claude/Outcome.ts"
import { ClaudeRunner } from "./ClaudeRunner.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "./Ledger.ts"
import { OutputSchemas } from "./OutputSchemas.ts"
import { WorkDirs } from "./WorkDirs.ts"

/** What a run gave. */
export interface RunReport {
  readonly result: unknown
  /** From its start to its answer; the time in the queue is not counted. */
  readonly durationMs: number
  readonly stopReason: string
  readonly responseChars: number
  readonly usage: Usage
  readonly costUsd: number
  readonly model: string | null
  readonly sessionId: string | null
}

/** A run that is in the ledger and has not begun. */
export interface OpenRun {
  readonly id: RunId
  /**
   * Waits for a slot, works, and records the outcome before it returns, once, on every way out. Interrupting it
   * cancels the run: when that returns, its processes and its directory are gone.
   */
  readonly answer: Effect.Effect<RunReport, RunFailure>
}

/** One-shot prompts, from acceptance to the recorded outcome. */
export class Runs extends Context.Tag("clawdforge/Runs")<
  Runs,
  {
    /** Accepts a prompt: from here on it has an id, a row, and an outcome, whatever happens to the caller. */
    readonly open: (
      request: RunRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<OpenRun, InvalidRequest | ShuttingDown | StorageFailed, Scope.Scope>
    /** Accepts no more and ends what is at work; returns when every outcome is recorded. */
    readonly shutdown: Effect.Effect<void>
  }
>() {
  static readonly layer = (options: { readonly maxConcurrentRuns: number }) =>
    Layer.scoped(
      Runs,
      Effect.gen(function* () {
        const ledger = (yield* Ledger).runs
        const ids = yield* Ids
        const runner = yield* ClaudeRunner
        const schemas = yield* OutputSchemas
        const workDirs = yield* WorkDirs
        const slots = yield* Effect.makeSemaphore(options.maxConcurrentRuns)
        const closing = yield* Deferred.make<never, ShuttingDown>()
        const fibers = yield* FiberSet.make<RunReport, RunFailure>()

        const work = (run: RunId, request: RunRequest, native: boolean) =>
          Effect.gen(function* () {
            const startedAt = yield* Clock.currentTimeMillis
            const elapsed = Effect.map(Clock.currentTimeMillis, (now) => now - startedAt)
            yield* ledger.start(run, startedAt)
            const answer = yield* workDirs.make(run).pipe(
              Effect.flatMap((dir) => runner.run(claudeRequest(request, native), dir)),
              Effect.scoped,
              Effect.timeoutFail({
                duration: Duration.seconds(request.timeoutSecs),
                onTimeout: () => new RunTimedOut({ timeoutSecs: request.timeoutSecs }),
              }),
              Effect.flatMap((answer) =>
                Effect.map(resultFor(answer, request), (result) => ({ answer, result })),
              ),
              Effect.catchAll((failure) =>
                Effect.flatMap(elapsed, (durationMs) =>
                  Effect.fail(
                    failure._tag === "StorageFailed" ? failure : diagnosed(failure, { durationMs }),
                  ),
                ),
              ),
            )
            return report(answer.answer, answer.result, yield* elapsed)
          })

        const resultFor = (answer: ClaudeAnswer, { outputSchema }: RunRequest) => {
          if (outputSchema === undefined) return Effect.succeed(resultOf(answer.text))
          const value = Option.getOrElse(answer.structured, () => resultOf(answer.text))
          return schemas.fits(outputSchema, value).pipe(
            Effect.mapError((mismatch) => diagnosed(mismatch, { stopReason: answer.stopReason })),
            Effect.as(value),
          )
        }

        /** The whole life of an accepted run. Its end is recorded even when it is interrupted. */
        const live = (run: RunId, request: RunRequest, native: boolean) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.gen(function* () {
              const exit = yield* work(run, request, native).pipe(
                slots.withPermits(1),
                Effect.raceFirst(Deferred.await(closing)),
                restore,
                Effect.exit,
              )
              yield* ledger.end(run, endOf(exit), yield* Clock.currentTimeMillis)
              return yield* exit
            }),
          )

        const open = Effect.fn("Runs.open")(function* (request: RunRequest, owner: TokenId, origin: Origin) {
          if (yield* Deferred.isDone(closing)) return yield* new ShuttingDown()
          const native =
            request.outputSchema === undefined ? false : (yield* schemas.check(request.outputSchema)).native
          const id = yield* ids.run
          const opened = {
            id,
            tokenId: owner,
            model: request.model,
            promptChars: request.prompt.length,
            origin,
            at: yield* Clock.currentTimeMillis,
          }
          // The fiber exists as soon as the row does: nothing can come between that leaves the row behind.
          // Acquiring is uninterruptible, which a fiber inherits: its life is not.
          const life = Effect.interruptible(live(id, request, native))
          const fiber = yield* Effect.acquireRelease(
            Effect.zipRight(ledger.open(opened), FiberSet.run(fibers, life)),
            (fiber) => Fiber.interrupt(fiber),
          )
          return { id, answer: Fiber.join(fiber) }
        })

        return {
          open,
          shutdown: Effect.zipRight(Deferred.fail(closing, new ShuttingDown()), FiberSet.awaitEmpty(fibers)),
        }
      }),
    )
}

const claudeRequest = (request: RunRequest, native: boolean) => {
  const { outputSchema: schema, system, ...rest } = request
  if (schema === undefined) return { ...rest, system, outputSchema: undefined }
  if (native) return { ...rest, system, outputSchema: schema }
  const instruction = `Answer with JSON only: one value that fits this JSON Schema.\n${JSON.stringify(schema)}`
  return {
    ...rest,
    system: system === undefined ? instruction : `${system}\n\n${instruction}`,
    outputSchema: undefined,
  }
}

const report = (answer: ClaudeAnswer, result: unknown, durationMs: number): RunReport => ({
  result,
  durationMs,
  stopReason: answer.stopReason,
  responseChars: answer.text.length,
  usage: answer.usage,
  costUsd: answer.costUsd,
  model: answer.model,
  sessionId: answer.sessionId,
})

const nothing = { stopReason: null, durationMs: null, responseChars: null, usage: null, costUsd: null }

const endOf = (exit: Exit.Exit<RunReport, RunFailure>): RunEnded =>
  Exit.match(exit, {
    // Field by field: what the ledger is given must not hold the answer.
    onSuccess: ({ stopReason, durationMs, responseChars, usage, costUsd }) => ({
      status: "completed" as const,
      code: null,
      stopReason,
      durationMs,
      responseChars,
      usage,
      costUsd,
    }),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: failureEnd,
        onNone: () =>
          Cause.isInterruptedOnly(cause)
            ? { ...nothing, status: "cancelled" as const, code: null, stopReason: "cancelled" }
            : { ...nothing, status: "failed" as const, code: "internal" },
      }),
  })

const failureEnd = (failure: RunFailure): RunEnded => {
  const known: Diagnosis = failure._tag === "ShuttingDown" || failure._tag === "StorageFailed" ? {} : failure
  return {
    ...nothing,
    durationMs: known.durationMs ?? null,
    stopReason: known.stopReason ?? null,
    status:
      failure._tag === "RunTimedOut" ? "timed_out" : failure._tag === "ShuttingDown" ? "cancelled" : "failed",
    code: failure.code,
  }
}
