import { Effect, Option, Queue } from "effect"
import type { EventFilter, EventType, LogEvent } from "../../domain/Event.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { TokenName } from "../../domain/Token.ts"
import type { EventRecords } from "../../services/journal/Ledger.ts"

/** Events and streams take their numbers from one sequence. */
export class Sequence {
  #last = 0

  readonly next = (): number => (this.#last += 1)
}

/** An event to append. */
export interface NewEvent {
  readonly type: EventType
  readonly at: number
  readonly runId?: RunId
  readonly sessionId?: SessionId | null
  readonly tokenId?: TokenId | null
  readonly data?: Readonly<Record<string, unknown>>
}

/** The event log, in memory. */
export class EventMemory {
  readonly #sequence: Sequence
  readonly #nameOf: (token: TokenId) => TokenName | null
  readonly #events: Array<Omit<LogEvent, "token">> = []
  readonly news = Effect.runSync(Queue.sliding<void>(1))
  trimmedTo = 0

  constructor(sequence: Sequence, nameOf: (token: TokenId) => TokenName | null) {
    this.#sequence = sequence
    this.#nameOf = nameOf
  }

  /** All there are, oldest first. */
  get all(): ReadonlyArray<LogEvent> {
    return this.#events.map((event) => ({
      ...event,
      token: event.tokenId === null ? null : this.#nameOf(event.tokenId),
    }))
  }

  add({ type, at, runId, sessionId, tokenId, data = {} }: NewEvent): void {
    this.#events.push({
      seq: this.#sequence.next(),
      type,
      at,
      runId: runId ?? null,
      sessionId: sessionId ?? null,
      tokenId: tokenId ?? null,
      data: JSON.parse(JSON.stringify(data)) as LogEvent["data"],
    })
    this.news.unsafeOffer(undefined)
  }

  /** Removes those of before that time, up to the first that is younger; returns how many. */
  drop(before: number): number {
    const young = this.#events.findIndex(({ at }) => at >= before)
    const count = young < 0 ? this.#events.length : young
    this.trimmedTo = this.#events[count - 1]?.seq ?? this.trimmedTo
    this.#events.splice(0, count)
    return count
  }
}

const matching =
  ({ owner, type, runId, sessionId }: EventFilter) =>
  (event: LogEvent): boolean =>
    (owner === undefined || event.tokenId === owner) &&
    (type === undefined || event.type === type) &&
    (runId === undefined || event.runId === runId) &&
    (sessionId === undefined || event.sessionId === sessionId)

/** The events of the in-memory ledger. */
export const eventRecords = (events: EventMemory): EventRecords => ({
  append: (event) => Effect.sync(() => events.add(event)),
  appended: Queue.take(events.news),
  newest: Effect.sync(() => events.all.at(-1)?.seq ?? 0),
  trimmedTo: Effect.sync(() => events.trimmedTo),
  latest: (filter, limit) =>
    Effect.sync(() => events.all.filter(matching(filter)).toReversed().slice(0, limit)),
  after: (seq, filter, limit) =>
    Effect.sync(() =>
      events.all
        .filter((event) => event.seq > seq)
        .filter(matching(filter))
        .slice(0, limit),
    ),
  summary: (owner) =>
    Effect.sync(() => {
      const own = events.all.filter(matching({ owner }))
      const counts = new Map<EventType, number>()
      for (const { type } of own) counts.set(type, (counts.get(type) ?? 0) + 1)
      return { counts, oldest: placeOf(own.at(0)), newest: placeOf(own.at(-1)) }
    }),
})

const placeOf = (event: LogEvent | undefined) =>
  Option.getOrNull(Option.map(Option.fromNullable(event), ({ seq, at }) => ({ seq, at })))
