import { Clock, Effect } from "effect"

/**
 * Time for what is measured or waited for. The wall clock, `Clock.currentTimeMillis`, is only for what is shown or stored:
 * somebody may set it while the service runs.
 */

const NANOS_PER_MILLI = 1_000_000n

/** The reading of the clock in whole milliseconds since an arbitrary moment. It never goes back, and never jumps. */
export const monotonicMillisOf = (clock: Clock.Clock): number =>
  Number(clock.unsafeCurrentTimeNanos() / NANOS_PER_MILLI)

/** Milliseconds since an arbitrary moment, whole ones. They never go back, and never jump. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, (nanos) =>
  Number(nanos / NANOS_PER_MILLI),
)
