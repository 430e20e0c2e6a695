import { Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import type { SessionRecord } from "../../domain/Session.ts"
import { WorkDirs } from "../agents/WorkDirs.ts"
import { Files } from "../files/Files.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Retention } from "../journal/Retention.ts"
import { SessionDirs } from "../sessions/SessionDirs.ts"
import { SessionPool } from "../sessions/SessionPool.ts"
import { monotonicMillis } from "../time/Monotonic.ts"
import { WallReadings } from "../time/WallReadings.ts"
import { SWEEP_CONCURRENCY, forEachDue } from "./DueSessions.ts"
import { StepRunner } from "./StepRunner.ts"
import { type SweepCounts, SweepCounter } from "./SweepCounter.ts"

/** How long one sweep may spend on retention. It leaves the rest to the next sweep. */
const TRIM_MILLIS = 30_000

export interface SweepReport extends SweepCounts {
  readonly durationMs: number
}

export interface SweeperOptions {
  /** The pause between two sweeps. */
  readonly sweepIntervalSecs: number
  /** A session is closed after this long without a turn. */
  readonly sessionTtlSecs: number
  /** A closed session is deleted this long after its close. */
  readonly sessionHardTtlSecs: number
}

/**
 * Cleans up regularly: closes idle sessions, deletes closed ones, and removes expired uploads, directories that nobody owns,
 * and rows whose retention is over.
 */
export class Sweeper extends Context.Tag("clawdforge/Sweeper")<
  Sweeper,
  {
    /**
     * Runs one sweep, after any other one has ended. A step that fails or hangs does not stop the others: it is logged
     * and counted, and a later sweep tries it again.
     */
    readonly sweep: Effect.Effect<SweepReport>
  }
>() {
  /** Sweeps every `sweepIntervalSecs`, as long as the layer lives. */
  static readonly layer = (
    options: SweeperOptions,
  ): Layer.Layer<Sweeper, never, Files | Ledger | Retention | SessionDirs | SessionPool | WorkDirs> =>
    Layer.scoped(
      Sweeper,
      Effect.gen(function* () {
        const files = yield* Files
        const { sessions } = yield* Ledger
        const dirs = yield* SessionDirs
        const workDirs = yield* WorkDirs
        const pool = yield* SessionPool
        const retention = yield* Retention
        const steps = new StepRunner()
        const wall = new WallReadings()
        const sweepLock = yield* Effect.makeSemaphore(1)
        /** The sessions after which the next sweep continues, if the one before ran out of time. */
        let lastIdle: SessionRecord | undefined
        let lastClosed: SessionRecord | undefined

        const closeIdle = Effect.fn("Sweeper.closeIdle")(function* (
          counter: SweepCounter,
          idleSince: number,
        ) {
          lastIdle = yield* forEachDue(
            (after) => sessions.idle(idleSince, after),
            (session) =>
              counter.attempt(
                "closed",
                steps.run(session.id, pool.closeIdle(session, idleSince)),
                session.id,
              ),
            lastIdle,
          )
        })

        const erase = Effect.fn("Sweeper.erase")(function* (counter: SweepCounter, closedUntil: number) {
          lastClosed = yield* forEachDue(
            (after) => sessions.closedUntil(closedUntil, after),
            ({ id }) => counter.attempt("deleted", steps.run(id, pool.erase(id)), id),
            lastClosed,
          )
        })

        const removeOrphans = Effect.fn("Sweeper.removeOrphans")(function* (counter: SweepCounter) {
          const listed = yield* dirs.list
          // In this order, because a session gets its record before its directory. A session opened meanwhile is found.
          const liveAmong = new Set(yield* sessions.liveAmong(listed))
          yield* Effect.forEach(
            listed.filter((id) => !liveAmong.has(id)),
            (id) => counter.attempt("directories", steps.run(id, Effect.as(dirs.remove(id), true)), id),
            { concurrency: SWEEP_CONCURRENCY, discard: true },
          )
        })

        const trim = Effect.map(retention.trim({ forMillis: TRIM_MILLIS }), (removed) =>
          Object.values(removed).reduce((sum, count) => sum + count, 0),
        )

        const sweep = Effect.gen(function* () {
          const at = yield* Clock.currentTimeMillis
          const start = yield* monotonicMillis
          wall.note(at, start)
          const before = (secs: number) => wall.before(at, start, secs * 1000)
          const counter = new SweepCounter()
          yield* counter.attempt("closed", closeIdle(counter, before(options.sessionTtlSecs)))
          yield* counter.attempt("files", files.expire)
          yield* counter.attempt("directories", removeOrphans(counter))
          yield* counter.attempt("directories", workDirs.removeOrphans)
          yield* counter.attempt("deleted", erase(counter, before(options.sessionHardTtlSecs)))
          yield* counter.attempt("trimmed", trim)

          const { counts } = counter
          const durationMs = (yield* monotonicMillis) - start
          const isIdle = Object.values(counts).every((count) => count === 0)
          yield* (isIdle ? Effect.logDebug("sweep") : Effect.logInfo("sweep")).pipe(
            Effect.annotateLogs({ ...counts, duration_ms: durationMs }),
          )
          return { ...counts, durationMs }
        }).pipe(sweepLock.withPermits(1), Effect.withSpan("Sweeper.sweep"))

        yield* sweep.pipe(
          Effect.schedule(Schedule.spaced(Duration.seconds(options.sweepIntervalSecs))),
          Effect.forkScoped,
        )
        return { sweep }
      }),
    )
}
