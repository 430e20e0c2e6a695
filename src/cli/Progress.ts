import { Clock, Effect, Ref, Schedule } from "effect"
import { Output } from "./Output.ts"

/** How often the line is written anew. */
const EVERY = "200 millis"

/**
 * Tells on a terminal that something is at work, and for how long, until `quiet` is run or the work has ended. The line
 * is gone before anything else is written.
 */
export const withProgress = <A, E, R>(
  what: string,
  work: (quiet: Effect.Effect<void>) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R | Output> =>
  Effect.gen(function* () {
    const { progress } = yield* Output
    const start = yield* Clock.currentTimeMillis
    const isQuiet = yield* Ref.make(false)
    const tell = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (!(yield* Ref.get(isQuiet))) yield* progress(`${what} ${((now - start) / 1000).toFixed(1)} s`)
    })
    const quiet = Effect.flatMap(Ref.getAndSet(isQuiet, true), (was) => (was ? Effect.void : progress("")))
    return yield* Effect.raceFirst(
      work(quiet),
      Effect.zipRight(Effect.schedule(tell, Schedule.spaced(EVERY)), Effect.never),
    ).pipe(Effect.ensuring(quiet))
  })
