import { Clock, Context, Deferred, Duration, Effect, Fiber, FiberSet, Layer } from "effect"
import {
  type RunFailure,
  ShuttingDown,
  type StorageFailed,
  type TurnFailure,
  Unauthorized,
} from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { KeptReport } from "../../domain/Outcome.ts"
import { Ledger } from "../journal/Ledger.ts"
import { makeRecording } from "./Recording.ts"
import { type Entry, makeRegister } from "./Register.ts"

/** What any run may fail with, whatever its work: the service stops, its token is revoked, the ledger fails. */
type CommonFailure = ShuttingDown | Unauthorized | StorageFailed

/** What is to be accepted: a one-shot, or a turn of a session. */
export interface NewRun<Report, Failure, Recorded, RecordFailure> {
  readonly id: RunId
  readonly owner: TokenId
  /** Enters it into the ledger. */
  readonly record: Effect.Effect<Recorded, RecordFailure>
  /** The session that it is a turn of. */
  readonly session?: SessionId
  /** Waits for its slot. */
  readonly slot: Effect.Effect<void, Failure>
  /** Done when it is to end, as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
  /**
   * Does the work, in the slot, and ends it when it is cancelled, with a report that says so. When it ends, on whatever
   * way, nothing of it may be left but what is to stay.
   */
  readonly work: (startedAt: number, recorded: Recorded) => Effect.Effect<Report, Failure>
  /** What it reports that is cancelled before it has a slot. */
  readonly unstarted: Report
  /** Gives the slot, or the place before it, back; comes before the outcome is known to anybody. */
  readonly leave: Effect.Effect<void>
}

/** An accepted run. It goes on by itself until its outcome, which is recorded once, on every way out. */
export interface LiveRun<Report, Failure, Recorded> {
  readonly recorded: Recorded
  /** Waits for the outcome, which is recorded by then, unless the ledger fails: then it is as soon as that does no more. */
  readonly answer: Effect.Effect<Report, Failure>
  /** Cancels it, and waits for its outcome. */
  readonly cancel: Effect.Effect<void>
}

/** Every accepted prompt execution, one-shots and turns alike, from its acceptance to its recorded outcome. */
export class LiveRuns extends Context.Tag("clawdforge/LiveRuns")<
  LiveRuns,
  {
    /** Fails once the service stops: then there is no new work. */
    readonly accepting: Effect.Effect<void, ShuttingDown>
    /** Accepts: the row in the ledger and the life that ends in an outcome come together, or neither does. */
    readonly begin: <
      Report extends KeptReport,
      Failure extends RunFailure | TurnFailure,
      Recorded,
      RecordFailure,
    >(
      run: NewRun<Report, Failure, Recorded, RecordFailure>,
    ) => Effect.Effect<LiveRun<Report, Failure | CommonFailure, Recorded>, RecordFailure>
    /**
     * Cancels a run, or all turns of a session, queued or at work, and waits for their outcomes. False when there was
     * none.
     */
    readonly cancel: (which: RunId | SessionId) => Effect.Effect<boolean>
    /** Ends all runs of an app whose token was revoked, queued or at work; does not wait for them. */
    readonly endOf: (owner: TokenId) => Effect.Effect<void>
    /**
     * Accepts no more, ends what is queued, gives what is at work its grace and then ends it; returns when every
     * outcome is recorded.
     */
    readonly shutdown: Effect.Effect<void>
    /** Waits until the service stops and the grace of what is at work is over. */
    readonly graceOver: Effect.Effect<void>
  }
>() {
  /** @param options.shutdownGraceSecs How long what is at work may go on once the service stops; by default 10. */
  static readonly layer = (options: { readonly shutdownGraceSecs?: number } = {}) =>
    Layer.scoped(
      LiveRuns,
      Effect.gen(function* () {
        const ledger = (yield* Ledger).runs
        const record = yield* makeRecording
        const register = yield* makeRegister
        const grace = Duration.seconds(options.shutdownGraceSecs ?? 10)
        const fibers = yield* FiberSet.make<unknown, unknown>()
        const over = yield* Deferred.make<void>()
        let closing = false

        /** Works as soon as there is a slot. */
        const started = <Report, Failure extends RunFailure | TurnFailure, Recorded, RecordFailure>(
          run: NewRun<Report, Failure, Recorded, RecordFailure>,
          entry: Entry,
          recorded: Recorded,
        ) =>
          Effect.gen(function* () {
            const admitted = yield* Effect.raceFirst(
              Effect.as(run.slot, true),
              Effect.as(Deferred.await(run.cancelled), false),
            )
            if (!admitted) return run.unstarted
            const at = yield* Clock.currentTimeMillis
            entry.startedAt = at
            yield* ledger.start(run.id, at)
            return yield* run.work(at, recorded)
          })

        /** The whole life of an accepted run: only its work can be interrupted, so its end is always recorded. */
        const life = <Report extends KeptReport, Failure extends RunFailure | TurnFailure, Recorded, X>(
          run: NewRun<Report, Failure, Recorded, X>,
          entry: Entry,
          recorded: Recorded,
        ) =>
          Effect.uninterruptible(
            Effect.gen(function* () {
              const exit = yield* Effect.acquireUseRelease(
                Effect.fork(Effect.interruptible(started(run, entry, recorded))),
                (working) => Effect.raceFirst(Fiber.join(working), Deferred.await(entry.ended)),
                // A race goes on before its loser is done; the slot must not.
                Fiber.interrupt,
              ).pipe(Effect.interruptible, Effect.ensuring(run.leave), Effect.exit)
              return yield* yield* record(entry, exit)
            }).pipe(Effect.ensuring(register.leave(entry))),
          )

        return {
          accepting: Effect.suspend(() => (closing ? new ShuttingDown() : Effect.void)),

          begin: (run) =>
            Effect.gen(function* () {
              // Who ends runs meets this one here, or in the ledger before it lets the run in.
              const entry = yield* register.enter(run)
              const recorded = yield* Effect.onError(run.record, () => register.leave(entry))
              if (closing) yield* Deferred.fail(entry.ended, new ShuttingDown())
              // The fiber exists as soon as the row does: nothing can come between that leaves the row behind.
              const fiber = yield* Effect.forkDaemon(life(run, entry, recorded))
              yield* FiberSet.add(fibers, fiber)
              return { recorded, answer: Fiber.join(fiber), cancel: Effect.asVoid(register.cancel(run.id)) }
            }).pipe(Effect.uninterruptible),

          cancel: register.cancel,

          endOf: (owner) => register.endAll((run) => run.owner === owner, new Unauthorized()),

          shutdown: Effect.gen(function* () {
            closing = true
            yield* register.endAll((run) => run.startedAt === undefined, new ShuttingDown())
            yield* Effect.timeoutOption(Effect.interruptible(register.empty), grace)
            yield* Deferred.succeed(over, undefined)
            yield* register.endAll(() => true, new ShuttingDown())
            yield* register.empty
          }),

          graceOver: Deferred.await(over),
        }
      }),
    )
}
