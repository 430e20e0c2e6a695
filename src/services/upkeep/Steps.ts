import { Duration, Effect } from "effect"
import type { SessionId } from "../../domain/Ids.ts"
import type { StepFailure } from "./SweepCounter.ts"

const STEP_MAX = Duration.seconds(60)

/** What is being done for single sessions: one thing at a time, and nobody waits for it too long. */
export class Steps {
  readonly #working = new Set<SessionId>()

  /** Fails when it takes too long; it then ends by itself, and until then the session is left alone. */
  readonly bound = <E extends StepFailure>(
    session: SessionId,
    step: Effect.Effect<boolean, E>,
  ): Effect.Effect<boolean, E | string> =>
    Effect.suspend(() => {
      if (this.#working.has(session)) return Effect.fail("what was begun before is not over yet")
      this.#working.add(session)
      return step.pipe(
        Effect.ensuring(Effect.sync(() => this.#working.delete(session))),
        Effect.disconnect,
        Effect.timeoutFail({ duration: STEP_MAX, onTimeout: () => "it takes too long" }),
      )
    })
}
