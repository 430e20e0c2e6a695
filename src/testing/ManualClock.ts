import { Clock, Duration, Effect } from "effect"

/** The time at the start: 2026-01-01T00:00:00Z. */
const START = 1_767_225_600_000

interface Sleeper {
  /** In milliseconds since the start. */
  readonly until: number
  readonly wake: () => void
}

/**
 * A clock that stands still. Time passes by `advance` only; `setWall` changes the date, as an operator or NTP does, and no
 * time passes. Unlike a `TestClock`, it does not stop at each sleep on the way. A
 * repeating sleep that is shorter than the jump ends once, late. So a year costs no more than a second.
 */
export class ManualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly #sleepers = new Set<Sleeper>()
  /** The milliseconds that have passed since the start. */
  #passed = 0
  /** The date at the start, as the wall clock would now have shown it. */
  #start = START

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())

  unsafeCurrentTimeMillis(): number {
    return this.#start + this.#passed
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(START + this.#passed) * 1_000_000n
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const until = this.#passed + Duration.toMillis(duration)
      if (until <= this.#passed) return resume(Effect.void)
      const sleeper = { until, wake: () => resume(Effect.void) }
      this.#sleepers.add(sleeper)
      return Effect.sync(() => this.#sleepers.delete(sleeper))
    })
  }

  /** Sets the wall clock forward by that many milliseconds, or back by a negative number. No sleep ends by it. */
  setWall(millis: number): void {
    this.#start += millis
  }

  /** Lets time pass at once. Then ends the sleeps that are over, in the order of their ends. */
  advance(time: Duration.DurationInput): void {
    this.#passed += Duration.toMillis(time)
    const due = [...this.#sleepers].filter(({ until }) => until <= this.#passed)
    for (const sleeper of due.sort((one, other) => one.until - other.until)) {
      this.#sleepers.delete(sleeper)
      sleeper.wake()
    }
  }
}
