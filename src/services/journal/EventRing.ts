import type { EventFilter, LogEvent } from "../../domain/Event.ts"

/** Whether somebody wants, and may see, an event. */
export const matching =
  ({ owner, type, runId, sessionId }: EventFilter) =>
  (event: LogEvent): boolean =>
    (owner === undefined || event.tokenId === owner) &&
    (type === undefined || event.type === type) &&
    (runId === undefined || event.runId === runId) &&
    (sessionId === undefined || event.sessionId === sessionId)

/** The newest events, in their order. */
export class EventRing {
  readonly #max: number
  #events: Array<LogEvent> = []
  /** All that came after that place is here. */
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

  /** Whether all after that place is here. */
  readonly has = (seq: number): boolean => seq >= this.#floor

  readonly add = (events: ReadonlyArray<LogEvent>): void => {
    const last = events.at(-1)
    if (last === undefined) return
    this.#events.push(...events)
    this.#newest = last.seq
    // Now and then, for each is a copy.
    if (this.#events.length <= this.#max * 1.5) return
    const gone = this.#events.length - this.#max
    this.#floor = this.#events[gone - 1]?.seq ?? this.#floor
    this.#events = this.#events.slice(gone)
  }

  /** The first that come after that place, at most so many. */
  readonly after = (seq: number, limit: number): ReadonlyArray<LogEvent> => {
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
