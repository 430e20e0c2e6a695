import { Deferred, Effect } from "effect"

/** Done once, by whoever comes first; all others wait until it is. Closing a scope again does not wait. */
export const runOnce = (act: Effect.Effect<void>): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(Deferred.make<void>(), (done) => {
    let begun = false
    return Effect.suspend(() => {
      if (begun) return Deferred.await(done)
      begun = true
      return Effect.uninterruptible(Effect.ensuring(act, Deferred.succeed(done, undefined)))
    })
  })
