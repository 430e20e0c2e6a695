import { Effect, Option, PubSub } from "effect"
import { type Event, type EventType, matching, type NewEvent } from "../../domain/Event.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { isSessionEventType } from "../../domain/SessionStream.ts"
import type { TokenName } from "../../domain/Token.ts"
import type { Change, EventRecords } from "../../services/journal/Ledger.ts"

/** The sequence of numbers that events and stream events share. */
export class Sequence {
  #last = 0

  readonly next = (): number => (this.#last += 1)
}

/** Publishes what is added to a ledger in memory: once for each transaction, and at once outside of one. */
export class Changes {
  readonly hub = Effect.runSync(PubSub.unbounded<Change>())
  #isOpen = false
  #hasEvents = false
  readonly #runs = new Set<RunId>()
  readonly #sessions = new Set<SessionId>()

  /** Notes that something was added to a run's stream, or (without a run) to the log, perhaps about a session. */
  readonly note = (run?: RunId, session?: SessionId): void => {
    if (run === undefined) this.#hasEvents = true
    else this.#runs.add(run)
    if (session !== undefined) this.#sessions.add(session)
    if (!this.#isOpen) this.#publish()
  }

  /** Notes that something was added to a session's stream. */
  readonly noteSession = (session: SessionId): void => {
    this.#sessions.add(session)
    if (!this.#isOpen) this.#publish()
  }

  /** Runs a synchronous change of the ledger as one transaction. */
  readonly transaction = <A>(change: () => A): A => {
    this.#isOpen = true
    try {
      return change()
    } finally {
      this.#isOpen = false
      this.#publish()
    }
  }

  readonly #publish = (): void => {
    if (this.#hasEvents || this.#runs.size > 0 || this.#sessions.size > 0) {
      this.hub.unsafeOffer({
        events: this.#hasEvents,
        runs: [...this.#runs],
        sessions: [...this.#sessions],
      })
    }
    this.#hasEvents = false
    this.#runs.clear()
    this.#sessions.clear()
  }
}

/** An event to add; ids that are left out are `null`. */
export type AddedEvent = NewEvent extends infer E
  ? E extends NewEvent
    ? Omit<E, "runId" | "sessionId" | "tokenId"> & Partial<Pick<E, "runId" | "sessionId" | "tokenId">>
    : never
  : never

/** The event log, in memory. */
export class EventMemory {
  readonly #sequence: Sequence
  readonly #changes: Changes
  readonly #nameOf: (token: TokenId) => TokenName | null
  readonly #events: Array<NewEvent & { readonly seq: number }> = []
  trimmedTo = 0

  constructor(sequence: Sequence, changes: Changes, nameOf: (token: TokenId) => TokenName | null) {
    this.#sequence = sequence
    this.#changes = changes
    this.#nameOf = nameOf
  }

  get changes(): Changes {
    return this.#changes
  }

  /** All events, oldest first. */
  get all(): ReadonlyArray<Event> {
    return this.#events.map(
      (event) => ({ ...event, token: event.tokenId === null ? null : this.#nameOf(event.tokenId) }) as Event,
    )
  }

  add(event: AddedEvent): void {
    const { runId = null, sessionId = null, tokenId = null, data } = event
    this.#events.push({
      ...event,
      seq: this.#sequence.next(),
      runId,
      sessionId,
      tokenId,
      data: JSON.parse(JSON.stringify(data)),
    } as NewEvent & { readonly seq: number })
    const isOfSession = sessionId !== null && isSessionEventType(event.type)
    this.#changes.note(undefined, isOfSession ? sessionId : undefined)
  }

  /** Removes events from before that time, up to the first that is younger. Returns how many. */
  drop(before: number): number {
    const young = this.#events.findIndex(({ at }) => at >= before)
    const count = young < 0 ? this.#events.length : young
    this.trimmedTo = this.#events[count - 1]?.seq ?? this.trimmedTo
    this.#events.splice(0, count)
    return count
  }
}

/** The events of the ledger in memory. */
export const eventRecords = (events: EventMemory): EventRecords => ({
  append: (event) => Effect.sync(() => events.add(event)),
  changes: PubSub.subscribe(events.changes.hub),
  publish: (change) => PubSub.publish(events.changes.hub, change),
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
  summary: (viewer) =>
    Effect.sync(() => {
      const seen = events.all.filter(matching({ viewer }))
      const counts = new Map<EventType, number>()
      for (const { type } of seen) counts.set(type, (counts.get(type) ?? 0) + 1)
      return { counts, oldest: placeOf(seen.at(0)), newest: placeOf(seen.at(-1)) }
    }),
})

const placeOf = (event: Event | undefined) =>
  Option.getOrNull(Option.map(Option.fromNullable(event), ({ seq, at }) => ({ seq, at })))
