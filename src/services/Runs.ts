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
  Schedule,
  type Scope,
} from "effect"
import {
  type FileNotFound,
  type InvalidRequest,
  type Overloaded,
  type RunFailure,
  ShuttingDown,
  type StorageFailed,
  Unauthorized,
} from "../domain/Failure.ts"
import type { RunId, TokenId } from "../domain/Ids.ts"
import type { RunEnded, RunRequest } from "../domain/Run.ts"
import type { Origin } from "../domain/Token.ts"
import { Files } from "./Files.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "./Ledger.ts"
import { OutputSchemas } from "./OutputSchemas.ts"
import { makeFairQueue, type Place } from "./runs/FairQueue.ts"
import { endOf, type RunReport, timed } from "./runs/Report.ts"
import { type Accepted, makeWork } from "./runs/Work.ts"

/**
 * An accepted run. It goes on by itself: waits for a slot, works, records its outcome, once, on every way out.
 * Closing the scope that it was opened in cancels it; then its processes and its directory are gone.
 */
export interface OpenRun {
  readonly id: RunId
  /** Waits for the outcome, which is recorded by then. */
  readonly answer: Effect.Effect<RunReport, RunFailure>
}

const PLACE_CHARS = 512 * 1024
/** How soon a ledger that failed is asked again. */
const RECORD_INTERVAL = Duration.seconds(5)
/** Schemas that are checked at once; each may take two seconds of a core. */
const CHECKS = 2

/** Limits of runs: unset, the contract's defaults. */
export interface RunsOptions {
  /** Runs at work at once. */
  readonly maxConcurrentRuns: number
  /** Runs that wait for a slot, of all apps together. */
  readonly maxQueuedRuns?: number
  /** How long a run may wait for a slot. */
  readonly maxQueueWaitSecs?: number
  /** How long what is at work may go on once the service stops. */
  readonly shutdownGraceSecs?: number
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
    ) => Effect.Effect<
      OpenRun,
      InvalidRequest | FileNotFound | Overloaded | ShuttingDown | Unauthorized | StorageFailed,
      Scope.Scope
    >
    /** Fails once the service stops: then there is no new work. */
    readonly accepting: Effect.Effect<void, ShuttingDown>
    /** Ends all runs of an app whose token was revoked, queued or at work; does not wait for them. */
    readonly endOf: (owner: TokenId) => Effect.Effect<void>
    /**
     * Accepts no more, ends what is queued, gives what is at work its grace and then ends it; returns when every
     * outcome is recorded.
     */
    readonly shutdown: Effect.Effect<void>
  }
>() {
  static readonly layer = (options: RunsOptions) =>
    Layer.scoped(
      Runs,
      Effect.gen(function* () {
        const files = yield* Files
        const ledger = (yield* Ledger).runs
        const ids = yield* Ids
        const schemas = yield* OutputSchemas
        const work = yield* makeWork
        const waiting = {
          maxWaiting: options.maxQueuedRuns ?? 256,
          maxWait: Duration.seconds(options.maxQueueWaitSecs ?? 30),
        }
        const queue = yield* makeFairQueue<TokenId>({ slots: options.maxConcurrentRuns, ...waiting })
        const checks = yield* makeFairQueue<TokenId>({ slots: CHECKS, ...waiting })
        const grace = Duration.seconds(options.shutdownGraceSecs ?? 10)
        const fibers = yield* FiberSet.make<RunReport, RunFailure>()
        const scope = yield* Effect.scope
        const live = new Map<RunId, LiveRun>()
        let closing = false

        /** The whole life of an accepted run: only its work can be interrupted, so its end is always recorded. */
        const life = (run: LiveRun, accepted: Accepted, place: Place) =>
          Effect.uninterruptible(
            Effect.gen(function* () {
              const exit = yield* Effect.acquireUseRelease(
                Effect.fork(Effect.interruptible(started(run, accepted, place))),
                (working) => Effect.raceFirst(Fiber.join(working), Deferred.await(run.ended)),
                // A race goes on before its loser is done; the slot must not.
                Fiber.interrupt,
              ).pipe(Effect.interruptible, Effect.exit)
              yield* place.leave
              live.delete(run.id)
              const now = yield* Clock.currentTimeMillis
              const durationMs = run.startedAt === undefined ? null : now - run.startedAt
              const outcome = Exit.mapError(exit, (failure) => timed(failure, durationMs))
              yield* recorded(run.id, endOf(outcome, durationMs), now)
              return yield* outcome
            }),
          )

        /** An outcome is recorded now; by a ledger that fails, as soon as it does no more. The caller need not wait. */
        const recorded = (id: RunId, end: RunEnded, at: number) =>
          Effect.catchAll(ledger.end(id, end, at), (failure) =>
            Effect.logError("a run's outcome is not recorded yet", Cause.die(failure.cause)).pipe(
              Effect.zipRight(Effect.retry(ledger.end(id, end, at), Schedule.spaced(RECORD_INTERVAL))),
              Effect.interruptible,
              Effect.forkIn(scope),
            ),
          )

        /** Works as soon as there is a slot. */
        const started = Effect.fn("Runs.started")(function* (run: LiveRun, accepted: Accepted, place: Place) {
          yield* place.slot
          const at = yield* Clock.currentTimeMillis
          run.startedAt = at
          yield* ledger.start(run.id, at)
          return yield* work(run.id, accepted, at)
        })

        const accepting = Effect.suspend(() => (closing ? new ShuttingDown() : Effect.void))

        /** Whether the CLI itself can enforce the schema. */
        const checked = ({ outputSchema }: RunRequest, owner: TokenId) =>
          outputSchema === undefined
            ? Effect.succeed(false)
            : Effect.acquireUseRelease(
                checks.enter(owner),
                (place) => Effect.zipRight(place.slot, schemas.check(outputSchema)),
                (place) => place.leave,
              ).pipe(Effect.map(({ native }) => native))

        const open = Effect.fn("Runs.open")(function* (request: RunRequest, owner: TokenId, origin: Origin) {
          yield* accepting
          const held = yield* files.hold(request.files, owner)
          const native = yield* checked(request, owner)
          const place = yield* Effect.acquireRelease(
            queue.enter(owner, placesOf(request)),
            ({ leave }) => leave,
          )
          const ended = yield* Deferred.make<never, RunFailure>()
          const run: LiveRun = { id: yield* ids.run, owner, ended, startedAt: undefined }
          const begin = Effect.gen(function* () {
            // Who ends runs meets this one here, or in the ledger before it lets the run in.
            live.set(run.id, run)
            yield* ledger.open({
              id: run.id,
              tokenId: owner,
              model: request.model,
              promptChars: request.prompt.length,
              origin,
              at: yield* Clock.currentTimeMillis,
            })
            if (closing) yield* Deferred.fail(ended, new ShuttingDown())
            // The fiber exists as soon as the row does: nothing can come between that leaves the row behind.
            return yield* FiberSet.run(fibers, life(run, { request, native, files: held }, place))
          }).pipe(Effect.onError(() => Effect.sync(() => live.delete(run.id))))
          const fiber = yield* Effect.acquireRelease(begin, Fiber.interrupt)
          return { id: run.id, answer: Fiber.join(fiber) }
        })

        /** Ends the runs that match, with that failure; does not wait for them. */
        const endAll = (matches: (run: LiveRun) => boolean, failure: RunFailure) =>
          Effect.forEach([...live.values()].filter(matches), ({ ended }) => Deferred.fail(ended, failure), {
            discard: true,
          })

        return {
          open,
          accepting,
          endOf: (owner) => endAll((run) => run.owner === owner, new Unauthorized()),
          shutdown: Effect.gen(function* () {
            closing = true
            yield* endAll((run) => run.startedAt === undefined, new ShuttingDown())
            yield* Effect.timeoutOption(Effect.interruptible(FiberSet.awaitEmpty(fibers)), grace)
            yield* endAll(() => true, new ShuttingDown())
            yield* FiberSet.awaitEmpty(fibers)
          }),
        }
      }),
    )
}

/** What waits is kept in memory: a prompt takes a place in the queue for each 512 Ki of characters that it begins. */
const placesOf = ({ prompt, system = "" }: RunRequest): number =>
  Math.max(1, Math.ceil((prompt.length + system.length) / PLACE_CHARS))

/** A run between its acceptance and its recorded end. */
interface LiveRun {
  readonly id: RunId
  readonly owner: TokenId
  /** Failing this ends the run, with that failure, wherever it is. */
  readonly ended: Deferred.Deferred<never, RunFailure>
  startedAt: number | undefined
}
