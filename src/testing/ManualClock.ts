import { Clock, Duration, Effect } from "effect"

/** The time at the start: 2026-01-01T00:00:00Z. */
const START = 1_767_225_600_000

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/**
 * A clock that stands still and jumps by `advance`. Unlike a `TestClock`, it does not stop at each sleep on the way. A
 * repeating sleep that is shorter than the jump ends once, late. So a year costs no more than a second.
 */
export class ManualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly #sleepers = new Set<Sleeper>()
  #now = START

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#now)
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())

  unsafeCurrentTimeMillis(): number {
    return this.#now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(this.#now) * 1_000_000n
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const until = this.#now + Duration.toMillis(duration)
      if (until <= this.#now) return resume(Effect.void)
      const sleeper = { until, wake: () => resume(Effect.void) }
      this.#sleepers.add(sleeper)
      return Effect.sync(() => this.#sleepers.delete(sleeper))
    })
  }

  /** Moves the time forward at once. Then ends the sleeps that are over, in the order of their ends. */
  advance(time: Duration.DurationInput): void {
    this.#now += Duration.toMillis(time)
    const due = [...this.#sleepers].filter(({ until }) => until <= this.#now)
    for (const sleeper of due.sort((one, other) => one.until - other.until)) {
      this.#sleepers.delete(sleeper)
      sleeper.wake()
    }
  }
}
