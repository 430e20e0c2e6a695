import { Effect, Ref, Schedule } from "effect"
import { monotonicMillis } from "../services/time/Monotonic.ts"
import { Output } from "./Output.ts"

const REFRESH_INTERVAL = "200 millis"

/**
 * Shows a progress line with the elapsed time on a terminal until the work ends, or until it runs `hide`. Run `hide`
 * before anything else is printed: it removes the line.
 */
export const withProgress = <A, E, R>(
  label: string,
  work: (hide: Effect.Effect<void>) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R | Output> =>
  Effect.gen(function* () {
    const { progress } = yield* Output
    const start = yield* monotonicMillis
    const isHidden = yield* Ref.make(false)
    const refresh = Effect.gen(function* () {
      const now = yield* monotonicMillis
      if (!(yield* Ref.get(isHidden))) yield* progress(`${label} ${((now - start) / 1000).toFixed(1)} s`)
    })
    const hide = Effect.flatMap(Ref.getAndSet(isHidden, true), (was) => (was ? Effect.void : progress("")))
    return yield* Effect.raceFirst(
      work(hide),
      Effect.zipRight(Effect.schedule(refresh, Schedule.spaced(REFRESH_INTERVAL)), Effect.never),
    ).pipe(Effect.ensuring(hide))
  })
