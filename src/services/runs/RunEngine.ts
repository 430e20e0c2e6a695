import { Clock, Context, Deferred, Duration, Effect, Exit, Fiber, FiberSet, Layer, Scope } from "effect"
import { type Overloaded, ShuttingDown, type StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import { encodeOutcome, type Report } from "../../domain/Outcome.ts"
import type { RunSpec } from "../../domain/Run.ts"
import { Revocation } from "../access/Revocation.ts"
import { Journal } from "../journal/Journal.ts"
import { type AcceptedRun, type AcceptRefusal, Ledger } from "../journal/Ledger.ts"
import type { Executor, FailureOf, Kind, RefusalOf, ReportOf, SpecOf } from "./executors/Executor.ts"
import type { Place } from "./FairQueue.ts"
import {
  BYTES_PER_CHAR,
  FREE_CHARS,
  MemoryBudget,
  type MemoryShare,
  RequestMemory,
} from "../memory/MemoryBudget.ts"
import { monotonicMillis } from "../time/Monotonic.ts"
import { recordOfOutcome, withDuration } from "./Report.ts"
import { type LiveEntry, makeRunRegister } from "./RunRegister.ts"

/** A failure that any run may have: the service stops, its token is revoked, the ledger fails. */
type CommonFailure = ShuttingDown | Unauthorized | StorageFailed

/** An accepted run. It goes on to its outcome, whether or not anybody waits for it. */
export interface LiveRun<K extends Kind> {
  readonly id: RunId
  readonly turn: AcceptedRun["turn"]
  /** Waits for the outcome, which is recorded by then. A disk that fails is not waited for: see `holdChanges`. */
  readonly answer: Effect.Effect<ReportOf<K>, FailureOf<K> | CommonFailure>
  /** Cancels the run and waits for its outcome. */
  readonly cancel: Effect.Effect<void>
}

/**
 * The life of every run, of every kind: accepted, started, executed by the executor of its kind, ended. Each accepted run
 * ends in exactly one recorded outcome. The states are those of `RUN_STATES` in `domain/Run.ts`.
 */
export class RunEngine extends Context.Tag("clawdforge/RunEngine")<
  RunEngine,
  {
    /** Adds the executor of a kind, until the scope closes. */
    readonly register: <K extends Kind>(executor: Executor<K>) => Effect.Effect<void, never, Scope.Scope>
    /** Fails once the service stops accepting runs. */
    readonly accepting: Effect.Effect<void, ShuttingDown>
    /**
     * Accepts a run: its executor prepares it, then it is recorded. If its slot is free, it is recorded as started at once.
     * A caller that is interrupted before leaves nothing behind; afterwards the run is the engine's.
     */
    readonly accept: <K extends Kind>(
      spec: SpecOf<K> & { readonly kind: K },
    ) => Effect.Effect<LiveRun<K>, RefusalOf<K> | AcceptRefusal<SpecOf<K>> | Overloaded | ShuttingDown>
    /**
     * Cancels a run, or all turns of a session, queued or running, and waits for their outcomes. Returns false if there
     * was none.
     */
    readonly cancel: (which: RunId | SessionId) => Effect.Effect<boolean>
    /**
     * Stops: accepts no more runs, ends the queued ones, gives the running ones their grace and then ends them. Returns
     * when every outcome is recorded.
     */
    readonly shutdown: Effect.Effect<void>
    /** Waits until the service stops and the grace of the running runs is over. */
    readonly graceOver: Effect.Effect<void>
  }
>() {
  /** @param options.shutdownGraceSecs How long running runs may go on when the service stops; 10 by default. */
  static readonly layer = (options: { readonly shutdownGraceSecs?: number } = {}) =>
    Layer.scoped(
      RunEngine,
      Effect.gen(function* () {
        const { runs } = yield* Ledger
        const journal = yield* Journal
        const revocation = yield* Revocation
        const budget = yield* MemoryBudget
        const register = yield* makeRunRegister
        const grace = Duration.seconds(options.shutdownGraceSecs ?? 10)
        const executors = new Map<Kind, Executor<Kind>>()
        const fibers = yield* FiberSet.make<unknown, unknown>()
        const graceOver = yield* Deferred.make<void>()
        let stopping = false

        /** Returns the executor of a kind. None is a mistake of whoever composed the service. */
        const executorOf = <K extends Kind>(kind: K): Effect.Effect<Executor<K>> =>
          Effect.suspend(() => {
            const executor = executors.get(kind)
            return executor === undefined
              ? Effect.dieMessage(`no executor is registered for runs of the kind "${kind}"`)
              : Effect.succeed(executor as unknown as Executor<K>)
          })

        /** Waits for the slot, if the run has not started yet, and has its executor work on it. */
        const execute = <K extends Kind>(
          executor: Executor<K>,
          spec: SpecOf<K>,
          entry: LiveEntry,
          place: Place,
          turn: AcceptedRun["turn"],
          memory: MemoryShare,
        ) =>
          Effect.gen(function* () {
            let answerBytes = 0
            const hasWaited = entry.startedAt === undefined
            if (hasWaited) {
              const hasSlot = yield* Effect.raceFirst(
                Effect.as(place.slot, true),
                Effect.as(Deferred.await(entry.cancelRequested), false),
              )
              if (!hasSlot) return executor.unstarted
              const at = yield* Clock.currentTimeMillis
              entry.startedAt = at
              entry.startedMonotonic = yield* monotonicMillis
              yield* runs.start(entry.id, at)
            }
            entry.began = true
            const report = yield* executor.execute({
              spec,
              turn,
              elapsedMillis: elapsedMillis(entry),
              holdAnswer: (bytes) =>
                Effect.suspend(() => {
                  if (bytes <= answerBytes) return Effect.void
                  return Effect.map(memory.takeForAnswer(bytes - answerBytes), () => {
                    answerBytes = bytes
                  })
                }),
              hasWaited,
              cancelled: Deferred.await(entry.cancelRequested),
              isCancelled: Deferred.isDone(entry.cancelRequested),
              setBegun: (hasBegun) => Effect.sync(() => void (entry.began = hasBegun)),
            })
            entry.began = true
            return report
          })

        /**
         * Records the outcome with the messages that are not stored yet. Returns the outcome as it is recorded.
         */
        const record = <R extends Report, F extends FailureOf<Kind> | CommonFailure>(
          entry: LiveEntry,
          exit: Exit.Exit<R, F>,
        ): Effect.Effect<Exit.Exit<R, F>> =>
          Effect.gen(function* () {
            const at = yield* Clock.currentTimeMillis
            const durationMs = entry.startedAt === undefined ? null : yield* elapsedMillis(entry)
            const { outcome, last } = encodable(
              Exit.mapError(exit, (failure) => withDuration(failure, durationMs)),
            )
            const ended = recordOfOutcome(outcome, durationMs)
            yield* journal.drain(entry.id, (unstored) =>
              runs.end(entry.id, { at, ended, last, unstored, began: entry.began }),
            )
            return outcome
          })

        /** The life of an accepted run. Only its work can be interrupted, so its end is always recorded. */
        const life = <K extends Kind>(
          executor: Executor<K>,
          spec: SpecOf<K>,
          entry: LiveEntry,
          place: Place,
          turn: AcceptedRun["turn"],
          release: Effect.Effect<void>,
          memory: MemoryShare,
        ) =>
          Effect.gen(function* () {
            const exit = yield* Effect.acquireUseRelease(
              Effect.fork(Effect.interruptible(execute(executor, spec, entry, place, turn, memory))),
              (working) => Effect.raceFirst(Fiber.join(working), Deferred.await(entry.endRequested)),
              // The race returns before its loser is done. The slot must not be given back until it is.
              Fiber.interrupt,
            ).pipe(Effect.interruptible, Effect.ensuring(release), Effect.exit)
            return yield* yield* record(entry, exit as Exit.Exit<ReportOf<K>, FailureOf<K> | CommonFailure>)
          }).pipe(
            Effect.ensuring(memory.giveBack),
            Effect.ensuring(register.leave(entry)),
            Effect.uninterruptible,
          )

        /** Records a prepared run and forks its life. Uninterruptible: the row and the life come together or not at all. */
        const begin = <K extends Kind>(
          executor: Executor<K>,
          spec: SpecOf<K>,
          place: Place,
          release: Effect.Effect<void>,
          memory: MemoryShare,
        ) =>
          Effect.gen(function* () {
            // The ledger records a run of an embedder's kind as a one-shot.
            const recorded = spec as RunSpec
            // Registered first: whoever ends runs finds it here, or has changed the ledger before it is recorded.
            const entry = yield* register.enter(recorded)
            const at = yield* Clock.currentTimeMillis
            if (place.hasSlot() && !stopping) {
              entry.startedAt = at
              entry.startedMonotonic = yield* monotonicMillis
            }
            const { turn } = yield* Effect.onError(
              runs.accept(recorded, { at, startedAt: entry.startedAt }),
              () => register.leave(entry),
            )
            if (stopping) yield* Deferred.fail(entry.endRequested, new ShuttingDown())
            const fiber = yield* Effect.forkDaemon(life(executor, spec, entry, place, turn, release, memory))
            yield* FiberSet.add(fibers, fiber)
            return {
              id: spec.id,
              turn,
              answer: Fiber.join(fiber),
              cancel: Effect.asVoid(register.cancel(spec.id)),
            }
          })

        yield* revocation.register((owner) =>
          register.endAll((run) => run.owner === owner, new Unauthorized()),
        )

        const accepting = Effect.suspend(() => (stopping ? new ShuttingDown() : Effect.void))

        const accept = <K extends Kind>(spec: SpecOf<K> & { readonly kind: K }) =>
          Effect.gen(function* () {
            yield* accepting
            const executor = yield* executorOf<K>(spec.kind)
            const held = yield* Scope.make()
            // Given back by the run's life, when its outcome is recorded.
            const memory = budget.open()
            const release = Scope.close(held, Exit.void)
            return yield* Effect.interruptible(
              Effect.zipRight(takeMemory(spec as RunSpec, memory), executor.prepare(spec)),
            ).pipe(
              Effect.flatMap(({ enter, inOrder }) =>
                inOrder(Effect.flatMap(enter, (place) => begin<K>(executor, spec, place, release, memory))),
              ),
              Effect.onError(() => Effect.zipRight(release, memory.giveBack)),
              Scope.extend(held),
            )
          }).pipe(Effect.uninterruptible)

        return {
          register: (executor) =>
            Effect.acquireRelease(
              Effect.sync(() => void executors.set(executor.kind, executor as unknown as Executor<Kind>)),
              () => Effect.sync(() => executors.delete(executor.kind)),
            ),

          accepting,

          // The compiler cannot see that the kind of a spec decides its failures.
          accept: accept as (typeof RunEngine.Service)["accept"],

          cancel: register.cancel,

          shutdown: Effect.gen(function* () {
            stopping = true
            yield* register.endAll((run) => run.startedAt === undefined, new ShuttingDown())
            yield* Effect.timeoutOption(Effect.interruptible(register.empty), grace)
            yield* Deferred.succeed(graceOver, undefined)
            yield* register.endAll(() => true, new ShuttingDown())
            yield* register.empty
          }),

          graceOver: Deferred.await(graceOver),
        }
      }),
    )
}

/** Takes the memory for a run's prompt, from the request that brought it where it can. */
const takeMemory = ({ owner, input: { prompt, ...input } }: RunSpec, share: MemoryShare) =>
  Effect.gen(function* () {
    const request = yield* RequestMemory
    share.assign(owner)
    const chars = prompt.length + (("system" in input ? input.system : undefined)?.length ?? 0)
    yield* share.takeFrom(request, Math.max(0, chars - FREE_CHARS) * BYTES_PER_CHAR)
  })

/** The time since a run got its slot. */
const elapsedMillis = ({ startedMonotonic }: LiveEntry): Effect.Effect<number> =>
  Effect.map(monotonicMillis, (now) => now - startedMonotonic)

/** Returns the outcome with its encoded form. An outcome that cannot be written as JSON is a bug, and recorded as one. */
const encodable = <A extends Report, E>(outcome: Exit.Exit<A, E>) => {
  try {
    return { outcome, last: encodeOutcome(outcome) }
  } catch (defect) {
    const broken = Exit.die(defect)
    return { outcome: broken, last: encodeOutcome(broken) }
  }
}
