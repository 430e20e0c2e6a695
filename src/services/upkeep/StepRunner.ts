import { Duration, Effect } from "effect"
import type { SessionId } from "../../domain/Ids.ts"
import type { StepFailure } from "./SweepCounter.ts"

const STEP_TIMEOUT = Duration.seconds(60)

/** Runs the sweeper's steps for sessions: at most one for each session at a time, and a caller waits a limited time. */
export class StepRunner {
  readonly #running = new Set<SessionId>()

  /**
   * Runs a step. When it takes longer than `STEP_TIMEOUT`, it is interrupted, and the call fails without waiting until it
   * has ended. Until then, all other steps for its session fail.
   */
  readonly run = <E extends StepFailure>(
    session: SessionId,
    step: Effect.Effect<boolean, E>,
  ): Effect.Effect<boolean, E | string> =>
    Effect.suspend(() => {
      if (this.#running.has(session)) return Effect.fail("what was begun before is not over yet")
      this.#running.add(session)
      return step.pipe(
        Effect.ensuring(Effect.sync(() => this.#running.delete(session))),
        Effect.disconnect,
        Effect.timeoutFail({ duration: STEP_TIMEOUT, onTimeout: () => "it takes too long" }),
      )
    })
}
