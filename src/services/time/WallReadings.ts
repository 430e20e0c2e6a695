/** How much the wall clock may differ from the monotonic one before that counts as a change of the date. */
const JUMP_MIN_MILLIS = 1000
/** More changes of the date than any machine has within the lifetime of a session. */
const READINGS_MAX = 100

interface Reading {
  readonly monotonic: number
  /** The wall clock minus the monotonic one, in milliseconds. */
  readonly offset: number
}

/**
 * What the wall clock showed since the start. It tells which dates are old by the time that has passed: a date that is set
 * forward makes nothing old. All times are milliseconds.
 */
export class WallReadings {
  #readings: Array<Reading> = []

  /** Adds what both clocks show now. A change of the date counts from the next call on. */
  note(wall: number, monotonic: number): void {
    const offset = wall - monotonic
    const last = this.#readings.at(-1)
    if (last !== undefined && Math.abs(offset - last.offset) < JUMP_MIN_MILLIS) return
    this.#readings = [...this.#readings, { monotonic, offset }].slice(-READINGS_MAX)
  }

  /**
   * Returns a date: what is dated before it is older than `age` now. After a change of the date, some things that are older
   * count as younger, never the other way round.
   */
  before(wall: number, monotonic: number, age: number): number {
    const then = monotonic - age
    const { offset } = this.#readings.findLast((reading) => reading.monotonic <= then) ??
      this.#readings[0] ?? { offset: wall - monotonic }
    return Math.min(wall - age, then + offset)
  }
}
