import { Deferred, type Duration, Effect } from "effect"

/**
 * Makes an effect that callers may run as often as they like: `act` runs once for all who ask while it runs and for
 * `maxAge` after it has ended. A caller that is interrupted stops waiting, and changes nothing for the others.
 *
 * `Effect.cachedWithTTL` gives the interruption of its first caller to all later ones.
 */
export const sharedResult = <A>(act: Effect.Effect<A>, maxAge: Duration.Duration): Effect.Effect<A> => {
  let latest: Deferred.Deferred<A> | undefined
  const run = (result: Deferred.Deferred<A>) =>
    Effect.intoDeferred(act, result).pipe(
      Effect.zipRight(Effect.sleep(maxAge)),
      Effect.ensuring(
        Effect.sync(() => {
          latest = undefined
        }),
      ),
      // A caller may be uninterruptible, and a time limit in `act` must work nevertheless.
      Effect.interruptible,
      Effect.forkDaemon,
    )
  return Effect.suspend(() => {
    if (latest !== undefined) return Deferred.await(latest)
    return Effect.flatMap(Deferred.make<A>(), (result) => {
      latest = result
      return Effect.zipRight(run(result), Deferred.await(result))
    })
  })
}
