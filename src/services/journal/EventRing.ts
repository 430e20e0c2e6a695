import type { Event } from "../../domain/Event.ts"

/** The newest events of the log in memory, in order. */
export class EventRing {
  readonly #max: number
  #events: Array<Event> = []
  /** The lowest sequence number after which the ring has every event. */
  #floor: number
  #newest: number

  constructor(max: number, newest: number) {
    this.#max = max
    this.#floor = newest
    this.#newest = newest
  }

  get newest(): number {
    return this.#newest
  }

  /** Whether the ring has every event after that sequence number. */
  readonly hasAllAfter = (seq: number): boolean => seq >= this.#floor

  /** Adds the next events, in order. Removes the oldest if there are more than one and a half times `max`. */
  readonly add = (events: ReadonlyArray<Event>): void => {
    const last = events.at(-1)
    if (last === undefined) return
    this.#events.push(...events)
    this.#newest = last.seq
    // Not at every event: each cut copies the list.
    if (this.#events.length <= this.#max * 1.5) return
    const gone = this.#events.length - this.#max
    this.#floor = this.#events[gone - 1]?.seq ?? this.#floor
    this.#events = this.#events.slice(gone)
  }

  /** Returns the first events after that sequence number, at most `limit`. */
  readonly after = (seq: number, limit: number): ReadonlyArray<Event> => {
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#events[middle]?.seq ?? 0) <= seq) low = middle + 1
      else high = middle
    }
    return this.#events.slice(low, low + limit)
  }
}
