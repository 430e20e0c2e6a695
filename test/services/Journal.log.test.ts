import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, PubSub } from "effect"
import { type Event, type EventFilter, type EventType, isGap, matching } from "../../src/domain/Event.ts"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { RunId, TokenId } from "../../src/domain/Ids.ts"
import type { StreamGap } from "../../src/domain/Stream.ts"
import { App, OPERATOR } from "../../src/domain/Viewer.ts"
import { Journal, logScope } from "../../src/services/journal/Journal.ts"
import { type Change, type EventRecords, Ledger } from "../../src/services/journal/Ledger.ts"
import * as Mock from "../../src/testing.ts"
import { firstOf } from "../support/Followed.ts"
import { turnsOfLoop } from "../support/Pace.ts"
import { eventually } from "../support/TestServer.ts"

const APP = "0".repeat(26) as TokenId
const OTHER = "1".padStart(26, "0") as TokenId

type RunEvent = Event & { type: "run.queued" | "run.failed" }

const event = (seq: number, more: Partial<RunEvent> = {}): RunEvent => ({
  seq,
  type: "run.queued",
  at: seq,
  runId: null,
  sessionId: null,
  tokenId: APP,
  token: null,
  data: {},
  ...more,
})

/** A log that a test writes, and what it is asked. */
class Log {
  readonly events: Array<Event> = []
  readonly changes = Effect.runSync(PubSub.unbounded<Change>())
  trimmedTo = 0
  /** How often somebody read it. */
  reads = 0
  /** To be done before each read, and after it. */
  beforeRead: Effect.Effect<void, StorageFailed> = Effect.void
  afterRead: () => void = () => {}

  readonly records: EventRecords = {
    append: () => Effect.void,
    changes: PubSub.subscribe(this.changes),
    publish: (change) => PubSub.publish(this.changes, change),
    newest: Effect.sync(() => this.events.at(-1)?.seq ?? 0),
    trimmedTo: Effect.sync(() => this.trimmedTo),
    latest: () => Effect.succeed([]),
    after: (seq, filter, limit) =>
      Effect.gen(this, function* () {
        this.reads += 1
        yield* this.beforeRead
        const found = this.events.filter((one) => one.seq > seq && matching(filter)(one)).slice(0, limit)
        this.afterRead()
        return found
      }),
    summary: () => Effect.succeed({ counts: new Map<EventType, number>(), oldest: null, newest: null }),
  }

  /** Appends events whose numbers have gaps, as streams take some. */
  readonly write = (count: number, more: Partial<RunEvent> = {}) =>
    Effect.suspend(() => {
      for (let n = 0; n < count; n++) {
        const { seq } = this.events.at(-1) ?? { seq: this.trimmedTo }
        this.events.push(event(seq + 1 + (seq % 3), more))
      }
      return PubSub.publish(this.changes, { events: true, runs: [], sessions: [] })
    })

  readonly trim = (to: number) => {
    this.trimmedTo = to
    this.events.splice(0, this.events.filter(({ seq }) => seq <= to).length)
  }

  get seqs() {
    return this.events.map(({ seq }) => seq)
  }

  readonly run = <A, E>(test: Effect.Effect<A, E, Journal>) => {
    const ledger = Layer.effect(
      Ledger,
      Effect.map(Ledger, (usual) => ({ ...usual, events: this.records })),
    ).pipe(Layer.provide(Mock.ledger()))
    return test.pipe(
      Effect.provide(Journal.layer.pipe(Layer.provide(ledger))),
      Effect.provide(Logger.remove(Logger.defaultLogger)),
    )
  }
}

/** Returns the first items that a follower is given; by default from now on. */
const first = (count: number, filter: Partial<EventFilter> = {}, after?: number) =>
  Effect.flatMap(Journal, ({ newest }) =>
    Effect.flatMap(after === undefined ? newest : Effect.succeed(after), (from) =>
      firstOf({ viewer: OPERATOR, ...filter }, from, count),
    ),
  )

const seqsOf = (items: ReadonlyArray<Event | StreamGap>) => items.map(({ seq }) => seq)

const fail = () => {
  throw new Error("a bug")
}

/** Waits until whoever was just forked waits for more: nothing but timers comes later. */
const settled = Effect.promise(() => turnsOfLoop(5))

describe("who follows the log", () => {
  it.live("leaves everybody else their turn while one reads what there was for long", () => {
    const log = new Log()
    Effect.runSync(log.write(20_000))
    return log.run(
      Effect.gen(function* () {
        let turns = 0
        const counting = setInterval(() => (turns += 1))
        const told = yield* Effect.ensuring(
          first(20_000, {}, 0),
          Effect.sync(() => clearInterval(counting)),
        )
        expect(seqsOf(told)).toEqual(log.seqs)
        expect(turns).toBeGreaterThanOrEqual(10)
      }),
    )
  })

  it.live("from now on is told what comes, and nothing of what was", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        yield* log.write(3)
        const told = yield* Effect.fork(first(2))
        yield* settled
        yield* log.write(2)
        expect(seqsOf(yield* Fiber.join(told))).toEqual(log.seqs.slice(3))
      }),
    )
  })

  it.live("from a place is told what there is, then what comes, each once, across memory and ledger", () => {
    const log = new Log()
    return Effect.gen(function* () {
      // More than one page before the feed begins, more than memory holds after it.
      yield* log.write(1000)
      yield* log.run(
        Effect.gen(function* () {
          const told = yield* Effect.fork(first(6500, {}, log.seqs[9]))
          const late = yield* Effect.fork(first(6500, {}, log.seqs[9]).pipe(Effect.delay("300 millis")))
          for (let n = 0; n < 11; n++) {
            yield* log.write(500)
            yield* Effect.sleep("40 millis")
          }
          yield* log.write(10)
          const all = log.seqs.slice(10)
          expect(seqsOf(yield* Fiber.join(told))).toEqual(all)
          expect(seqsOf(yield* Fiber.join(late))).toEqual(all)
        }),
      )
    })
  })

  it.live("is told only what it may see and wants", () => {
    const log = new Log()
    const run = "2".padStart(26, "0") as RunId
    return log.run(
      Effect.gen(function* () {
        const mine = yield* Effect.fork(first(3, { viewer: App({ tokenId: APP }) }, 0))
        const runs = yield* Effect.fork(first(2, { runId: run, type: "run.failed" }, 0))
        yield* settled
        yield* log.write(2)
        yield* log.write(5, { tokenId: OTHER })
        yield* settled
        yield* log.write(1, { runId: run })
        yield* log.write(2, { runId: run, tokenId: OTHER, type: "run.failed" })
        expect((yield* Fiber.join(mine)).every((item) => !isGap(item) && item.tokenId === APP)).toBe(true)
        expect(seqsOf(yield* Fiber.join(mine))).toEqual([...log.seqs.slice(0, 2), log.seqs[7]])
        expect(seqsOf(yield* Fiber.join(runs))).toEqual(log.seqs.slice(-2))
      }),
    )
  })

  it.live("is told once what is gone, and what is next of what it wants", () => {
    const log = new Log()
    return Effect.gen(function* () {
      yield* log.write(10)
      yield* log.write(1, { tokenId: OTHER })
      yield* log.write(4)
      const all = log.seqs
      log.trim(all[9] ?? 0)
      yield* log.run(
        Effect.gen(function* () {
          const told = yield* first(5, { viewer: App({ tokenId: APP }) }, 2)
          expect(told[0]).toEqual({ kind: "resync", seq: all[9], oldest: all[11] })
          expect(seqsOf(told.slice(1))).toEqual(all.slice(11))
          // Who had come as far as that misses nothing.
          expect(seqsOf(yield* first(5, {}, all[9]))).toEqual(all.slice(10))
          const none = yield* first(1, { type: "login.changed" }, 2)
          expect(none).toEqual([{ kind: "resync", seq: all[9], oldest: null }])
        }),
      )
    })
  })

  it.live("is told what goes while it is being read", () => {
    const log = new Log()
    return Effect.gen(function* () {
      yield* log.write(20)
      const all = log.seqs
      log.afterRead = () => {
        log.afterRead = () => {}
        log.trim(all[4] ?? 0)
      }
      yield* log.run(
        Effect.gen(function* () {
          const told = yield* first(16, { viewer: App({ tokenId: APP }) }, 0)
          expect(told[0]).toEqual({ kind: "resync", seq: all[4], oldest: all[5] })
          expect(seqsOf(told.slice(1))).toEqual(all.slice(5))
        }),
      )
    })
  })

  it.live("waits for what comes after a place that is not there yet", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const told = yield* Effect.fork(first(1, {}, 20))
        yield* settled
        yield* log.write(20)
        expect(seqsOf(yield* Fiber.join(told))).toEqual([log.seqs.find((seq) => seq > 20)])
      }),
    )
  })

  it.live("knows where the log is, though all of it is gone", () => {
    const log = new Log()
    log.trimmedTo = 77
    return log.run(
      Effect.gen(function* () {
        const { newest } = yield* Journal
        expect(yield* newest).toBe(77)
        const told = yield* Effect.fork(first(1))
        yield* settled
        yield* log.write(1)
        expect(seqsOf(yield* Fiber.join(told))).toEqual(log.seqs)
      }),
    )
  })

  it.live("costs the ledger nothing while it keeps up, however many there are", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const journal = yield* Journal
        const told = Array.from({ length: 500 }, (): Array<number> => [])
        for (const seqs of told) {
          const take = (items: ReadonlyArray<Event | StreamGap>) => seqs.push(...seqsOf(items)) > 0
          yield* Effect.fork(journal.follow(logScope({ viewer: OPERATOR }), 0, { take, ready: Effect.void }))
        }
        yield* settled
        for (let n = 0; n < 100; n++) {
          yield* log.write(2)
          yield* Effect.sleep("5 millis")
        }
        yield* eventually(() => expect(told.every(({ length }) => length >= 200)).toBe(true))
        for (const seqs of told) expect(seqs).toEqual(log.seqs)
        // One looks for everybody, and not for each event.
        expect(log.reads).toBeLessThan(100)
      }),
    )
  })

  it.live("and takes nothing for a while misses nothing, however much comes meanwhile", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const journal = yield* Journal
        const room = yield* Effect.makeLatch(false)
        const told: Array<number> = []
        const take = (items: ReadonlyArray<Event | StreamGap>) => {
          told.push(...seqsOf(items))
          return false
        }
        yield* Effect.fork(journal.follow(logScope({ viewer: OPERATOR }), 0, { take, ready: room.await }))
        const other = yield* Effect.fork(first(4500))
        yield* settled
        // More than memory holds.
        for (let n = 0; n < 9; n++) {
          yield* log.write(500)
          yield* Effect.sleep("40 millis")
        }
        expect(seqsOf(yield* Fiber.join(other))).toEqual(log.seqs)
        expect(told.length).toBeLessThan(1000)
        const reads = log.reads
        yield* room.open
        yield* eventually(() => expect(told.length).toBeGreaterThanOrEqual(4500))
        yield* log.write(3)
        yield* eventually(() => expect(told.length).toBeGreaterThanOrEqual(4503))
        expect(told).toEqual(log.seqs)
        expect(log.reads).toBeGreaterThan(reads)
      }),
    )
  })

  it.live("and goes away is told nothing more", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const journal = yield* Journal
        const told: Array<number> = []
        const take = (items: ReadonlyArray<Event | StreamGap>) => told.push(...seqsOf(items)) > 0
        const gone = yield* Effect.fork(
          journal.follow(logScope({ viewer: OPERATOR }), 0, { take, ready: Effect.void }),
        )
        const other = yield* Effect.fork(first(4, {}, 0))
        yield* settled
        yield* log.write(2)
        yield* eventually(() => expect(told).toEqual(log.seqs))
        yield* Fiber.interrupt(gone)
        yield* log.write(2)
        expect(seqsOf(yield* Fiber.join(other))).toEqual(log.seqs)
        expect(told).toEqual(log.seqs.slice(0, 2))
      }),
    )
  })

  it.live("and cannot be told ends alone", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const journal = yield* Journal
        const broken = yield* Effect.fork(
          journal.follow(logScope({ viewer: OPERATOR }), 0, { take: fail, ready: Effect.void }),
        )
        const told = yield* Effect.fork(first(4, {}, 0))
        yield* settled
        yield* log.write(2)
        expect(Exit.isFailure(yield* Fiber.await(broken))).toBe(true)
        yield* log.write(2)
        expect(seqsOf(yield* Fiber.join(told))).toEqual(log.seqs)
      }),
    )
  })

  it.live("goes on when the ledger, which could not be read for a while, can be again", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const told = yield* Effect.fork(first(3, {}, 0))
        yield* settled
        const tried = yield* Deferred.make<void>()
        log.beforeRead = Effect.zipRight(
          Deferred.succeed(tried, undefined),
          new StorageFailed({ during: "reading events", cause: "EIO" }),
        )
        yield* log.write(3)
        yield* Deferred.await(tried)
        log.beforeRead = Effect.void
        expect(seqsOf(yield* Fiber.join(told))).toEqual(log.seqs)
      }),
    )
  })

  it.live("is told every event, however many others follow and come and go meanwhile", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const [one, other] = [yield* Effect.fork(first(600, {}, 0)), yield* Effect.fork(first(600, {}, 0))]
        yield* settled
        for (let n = 0; n < 60; n++) {
          const gone = yield* Effect.fork(first(1000))
          yield* log.write(10)
          yield* Effect.sleep(n % 3 === 0 ? "0 millis" : "5 millis")
          yield* Fiber.interrupt(gone)
        }
        expect(seqsOf(yield* Fiber.join(one))).toEqual(log.seqs)
        expect(seqsOf(yield* Fiber.join(other))).toEqual(log.seqs)
      }),
    )
  })

  it.live("misses nothing after a time without any follower, from its place or from now on", () => {
    const log = new Log()
    return log.run(
      Effect.gen(function* () {
        const { newest } = yield* Journal
        let place = 0
        const told: Array<number> = []
        for (let n = 0; n < 4; n++) {
          const back = yield* Effect.fork(first(20, {}, place))
          yield* settled
          yield* log.write(10)
          yield* settled
          yield* log.write(10)
          told.push(...seqsOf(yield* Fiber.join(back)))
          place = told.at(-1) ?? 0
          expect(told).toEqual(log.seqs.filter((seq) => seq <= place))
          // Nobody follows, for a moment or for longer.
          if (n % 2 === 0) yield* Effect.sleep("120 millis")
          yield* log.write(5)
          if (n % 2 === 0) yield* Effect.sleep("120 millis")
        }
        expect(yield* newest).toBe(log.seqs.at(-1))
        const reads = log.reads
        // More than memory holds.
        yield* log.write(3000)
        yield* settled
        // Nobody follows: nobody reads.
        expect(log.reads).toBe(reads)
        const late = yield* Effect.fork(first(10))
        const back = yield* Effect.fork(first(log.events.length + 10 - told.length, {}, place))
        yield* settled
        yield* log.write(10)
        expect(seqsOf(yield* Fiber.join(late))).toEqual(log.seqs.slice(-10))
        expect(seqsOf(yield* Fiber.join(back))).toEqual(log.seqs.filter((seq) => seq > place))
      }),
    )
  })

  it.live("fails when its own place cannot be read", () => {
    const log = new Log()
    return Effect.gen(function* () {
      yield* log.write(3)
      log.beforeRead = new StorageFailed({ during: "reading events", cause: "EIO" })
      const failure = yield* log.run(Effect.flip(first(1, {}, 0)))
      expect(failure).toBeInstanceOf(StorageFailed)
    })
  })
})
