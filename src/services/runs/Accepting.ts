import { Effect, Exit, Scope } from "effect"

/**
 * How a run is accepted. What `prepare` acquires is held until `leave`, which the run calls at its own end: that is not
 * its caller's. A caller who goes away while it is prepared leaves nothing behind; one who goes away later finds it
 * accepted, if he cannot be interrupted before he has it.
 */
export const accepting = <P, A, E1, E2, R1, R2>(
  prepare: Effect.Effect<P, E1, R1>,
  accept: (prepared: P, leave: Effect.Effect<void>) => Effect.Effect<A, E2, R2>,
): Effect.Effect<A, E1 | E2, Exclude<R1 | R2, Scope.Scope>> =>
  Effect.gen(function* () {
    const held = yield* Scope.make()
    const leave = Scope.close(held, Exit.void)
    return yield* Effect.interruptible(prepare).pipe(
      Effect.flatMap((prepared) => accept(prepared, leave)),
      Effect.onError(() => leave),
      Scope.extend(held),
    )
  }).pipe(Effect.uninterruptible)
