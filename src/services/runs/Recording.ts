import { Cause, Clock, Duration, Effect, Exit, Schedule } from "effect"
import type { RunFailure, TurnFailure } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { type KeptReport, streamEndOf } from "../../domain/Outcome.ts"
import { EventLog } from "../journal/EventLog.ts"
import { Ledger } from "../journal/Ledger.ts"
import { endOf, timed } from "./Report.ts"

/** How soon a ledger that failed is asked again. */
const RECORD_INTERVAL = Duration.seconds(5)

/**
 * How a run's outcome is recorded, and told to who reads its stream: now; by a ledger that fails, as soon as it does no
 * more, for which nobody has to wait. Gives the outcome as it is recorded.
 */
export const makeRecording = Effect.gen(function* () {
  const ledger = (yield* Ledger).runs
  const log = yield* EventLog
  const scope = yield* Effect.scope

  return <Report extends KeptReport, Failure extends RunFailure | TurnFailure>(
    run: { readonly id: RunId; readonly startedAt: number | undefined },
    exit: Exit.Exit<Report, Failure>,
  ): Effect.Effect<Exit.Exit<Report, Failure>> =>
    Effect.gen(function* () {
      const at = yield* Clock.currentTimeMillis
      const durationMs = run.startedAt === undefined ? null : at - run.startedAt
      const { outcome, last } = writable(Exit.mapError(exit, (failure) => timed(failure, durationMs)))
      const record = Effect.zipRight(
        ledger.end(run.id, endOf(outcome, durationMs), at, last),
        log.ended(run.id),
      )
      yield* Effect.catchAll(record, (failure) =>
        Effect.logError("a run's outcome is not recorded yet", Cause.die(failure.cause)).pipe(
          Effect.zipRight(Effect.retry(record, Schedule.spaced(RECORD_INTERVAL))),
          Effect.interruptible,
          Effect.forkIn(scope),
        ),
      )
      return outcome
    })
})

/** An outcome as a stream ends with it. One that cannot be written as JSON is a bug's, and an outcome none the less. */
const writable = <A extends KeptReport, E>(outcome: Exit.Exit<A, E>) => {
  try {
    return { outcome, last: streamEndOf(outcome) }
  } catch (defect) {
    const broken = Exit.die(defect)
    return { outcome: broken, last: streamEndOf(broken) }
  }
}
