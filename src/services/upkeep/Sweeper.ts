import { Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import type { SessionRecord } from "../../domain/Session.ts"
import { Files } from "../files/Files.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Retention } from "../journal/Retention.ts"
import { SessionDirs } from "../sessions/SessionDirs.ts"
import { SessionPool } from "../sessions/SessionPool.ts"
import { AT_ONCE, eachDue } from "./Due.ts"
import { Steps } from "./Steps.ts"
import { type SweepCounts, SweepCounter } from "./SweepCounter.ts"

/** How long a sweep removes what is kept no longer; it leaves the rest to the next. */
const TRIM_MILLIS = 30_000

export interface SweepReport extends SweepCounts {
  readonly durationMs: number
}

export interface SweeperOptions {
  readonly sweepIntervalSecs: number
  /** After so long without a turn a session is closed. */
  readonly sessionTtlSecs: number
  /** So long after its end it is deleted. */
  readonly sessionHardTtlSecs: number
}

/** Ends and removes what nobody needs any more: idle and closed sessions, expired uploads, orphaned directories, old events. */
export class Sweeper extends Context.Tag("clawdforge/Sweeper")<
  Sweeper,
  {
    /**
     * Sweeps, as soon as no other sweep is at work. What fails or hangs keeps it from nothing else: it is logged,
     * counted, and tried again at a later sweep.
     */
    readonly sweep: Effect.Effect<SweepReport>
  }
>() {
  /** Sweeps again and again, with the interval in between, as long as the layer lives. */
  static readonly layer = (
    options: SweeperOptions,
  ): Layer.Layer<Sweeper, never, Files | Ledger | Retention | SessionDirs | SessionPool> =>
    Layer.scoped(
      Sweeper,
      Effect.gen(function* () {
        const files = yield* Files
        const { sessions } = yield* Ledger
        const dirs = yield* SessionDirs
        const pool = yield* SessionPool
        const retention = yield* Retention
        const steps = new Steps()
        const oneAtATime = yield* Effect.makeSemaphore(1)
        /** Where the sweep before ran out of time, if it did. */
        let lastIdle: SessionRecord | undefined
        let lastClosed: SessionRecord | undefined

        const closeIdle = Effect.fn("Sweeper.closeIdle")(function* (
          counter: SweepCounter,
          idleSince: number,
        ) {
          lastIdle = yield* eachDue(
            (after) => sessions.idle(idleSince, after),
            (session) =>
              counter.attempt(
                "closed",
                steps.bound(session.id, pool.closeIdle(session, idleSince)),
                session.id,
              ),
            lastIdle,
          )
        })

        const erase = Effect.fn("Sweeper.erase")(function* (counter: SweepCounter, closedBy: number) {
          lastClosed = yield* eachDue(
            (after) => sessions.closedBy(closedBy, after),
            ({ id }) => counter.attempt("deleted", steps.bound(id, pool.erase(id)), id),
            lastClosed,
          )
        })

        const removeOrphans = Effect.fn("Sweeper.removeOrphans")(function* (counter: SweepCounter) {
          const listed = yield* dirs.list
          // Asked afterwards: a session has its record before it has its directory.
          const living = new Set(yield* sessions.living(listed))
          yield* Effect.forEach(
            listed.filter((id) => !living.has(id)),
            (id) => counter.attempt("directories", steps.bound(id, Effect.as(dirs.remove(id), true)), id),
            { concurrency: AT_ONCE, discard: true },
          )
        })

        const trim = Effect.map(retention.trim({ forMillis: TRIM_MILLIS }), (removed) =>
          Object.values(removed).reduce((sum, count) => sum + count, 0),
        )

        const sweep = Effect.gen(function* () {
          const start = yield* Clock.currentTimeMillis
          const counter = new SweepCounter()
          yield* counter.attempt("closed", closeIdle(counter, start - options.sessionTtlSecs * 1000))
          yield* counter.attempt("files", files.expire)
          yield* counter.attempt("directories", removeOrphans(counter))
          yield* counter.attempt("deleted", erase(counter, start - options.sessionHardTtlSecs * 1000))
          yield* counter.attempt("trimmed", trim)

          const { counts } = counter
          const durationMs = (yield* Clock.currentTimeMillis) - start
          const isIdle = Object.values(counts).every((count) => count === 0)
          yield* (isIdle ? Effect.logDebug("sweep") : Effect.logInfo("sweep")).pipe(
            Effect.annotateLogs({ ...counts, duration_ms: durationMs }),
          )
          return { ...counts, durationMs }
        }).pipe(oneAtATime.withPermits(1), Effect.withSpan("Sweeper.sweep"))

        yield* sweep.pipe(
          Effect.schedule(Schedule.spaced(Duration.seconds(options.sweepIntervalSecs))),
          Effect.forkScoped,
        )
        return { sweep }
      }),
    )
}
