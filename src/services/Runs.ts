import {
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Fiber,
  FiberSet,
  Layer,
  Option,
  type Scope,
} from "effect"
import {
  diagnosed,
  type InvalidRequest,
  type RunFailure,
  RunTimedOut,
  ShuttingDown,
  type StorageFailed,
} from "../domain/Failure.ts"
import type { RunId, TokenId } from "../domain/Ids.ts"
import { resultOf } from "../domain/Answer.ts"
import type { RunRequest } from "../domain/Run.ts"
import type { Origin } from "../domain/Token.ts"
import type { ClaudeAnswer } from "./claude/Outcome.ts"
import { claudeRequest } from "./claude/Request.ts"
import { ClaudeRunner } from "./ClaudeRunner.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "./Ledger.ts"
import { OutputSchemas } from "./OutputSchemas.ts"
import { endOf, type RunReport, reportOf } from "./runs/Report.ts"
import { WorkDirs } from "./WorkDirs.ts"

/**
 * An accepted run. It goes on by itself: waits for a slot, works, records its outcome, once, on every way out.
 * Closing the scope that it was opened in cancels it; then its processes and its directory are gone.
 */
export interface OpenRun {
  readonly id: RunId
  /** Waits for the outcome, which is recorded by then. */
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
            return reportOf(answer.answer, answer.result, yield* elapsed)
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
