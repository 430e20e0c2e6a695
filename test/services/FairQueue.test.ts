import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, TestClock } from "effect"
import { makeFairQueue, type FairQueue } from "../../src/services/runs/FairQueue.ts"

const queueOf = (slots: number, maxWaiting = 1000, maxWaitSecs = 1000) =>
  makeFairQueue<string>({ slots, maxWaiting, maxWait: Duration.seconds(maxWaitSecs) })

/** Enters and works for a second. `order` gets the owners in the order in which they got a slot. */
const work = (queue: FairQueue<string>, owner: string, order: Array<string>, name = owner) =>
  Effect.acquireUseRelease(
    queue.enter(owner),
    (place) =>
      place.slot.pipe(
        Effect.tap(() => Effect.sync(() => order.push(name))),
        Effect.zipRight(Effect.sleep("1 second")),
      ),
    (place) => place.leave,
  )

const forkAll = <A, E>(count: number, effect: (n: number) => Effect.Effect<A, E>) =>
  Effect.forEach(
    Array.from({ length: count }, (_, n) => n),
    (n) => Effect.tap(Effect.fork(effect(n)), () => TestClock.adjust("0 seconds")),
  )

describe("a fair queue", () => {
  it.effect("serves the places of one owner in order, as many at a time as there are slots", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(2)
      const order: Array<string> = []
      yield* forkAll(6, (n) => work(queue, "a", order, String(n)))
      expect(order).toEqual(["0", "1"])
      yield* TestClock.adjust("1 second")
      expect(order).toEqual(["0", "1", "2", "3"])
      yield* TestClock.adjust("1 second")
      expect(order).toEqual(["0", "1", "2", "3", "4", "5"])
    }),
  )

  it.effect("gives the next free slot to an owner that has none, however many places another has", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1)
      const order: Array<string> = []
      yield* forkAll(100, () => work(queue, "greedy", order))
      yield* TestClock.adjust("5 seconds")
      yield* forkAll(1, () => work(queue, "modest", order))
      yield* TestClock.adjust("1 second")
      expect(order.at(-1)).toBe("modest")
    }),
  )

  it.effect("shares the slots evenly between owners that all want more", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(4)
      const order: Array<string> = []
      yield* forkAll(40, () => work(queue, "a", order))
      yield* forkAll(40, () => work(queue, "b", order))
      yield* forkAll(4, () => work(queue, "c", order))
      yield* TestClock.adjust("6 seconds")
      const served = order.slice(4)
      const count = (owner: string) => served.filter((name) => name === owner).length
      expect(new Set(served.slice(0, 2))).toEqual(new Set(["b", "c"]))
      expect(count("c")).toBe(4)
      expect(Math.abs(count("a") - count("b"))).toBeLessThanOrEqual(4)
    }),
  )

  it.effect("does not starve an owner when others come back at once", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1)
      const order: Array<string> = []
      for (const owner of ["a", "b"]) yield* Effect.fork(Effect.forever(work(queue, owner, order)))
      yield* TestClock.adjust("0 seconds")
      yield* forkAll(4, () => work(queue, "patient", order))
      yield* TestClock.adjust("12 seconds")
      expect(order.filter((owner) => owner === "patient")).toHaveLength(4)
    }),
  )

  it.effect("refuses a place when all are taken, and says when to retry", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1, 2)
      yield* queue.enter("a")
      yield* queue.enter("b")
      yield* queue.enter("c")
      expect(yield* Effect.flip(queue.enter("d"))).toMatchObject({
        because: "queue_full",
        // Three runs on one slot, each with the initial mean of ten seconds.
        retryAfterSecs: 30,
      })
    }),
  )

  it.effect("computes when to retry from how long work takes", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1, 1)
      for (let n = 0; n < 30; n++) {
        const place = yield* queue.enter("a")
        yield* Effect.zipRight(TestClock.adjust("2 seconds"), place.leave)
      }
      yield* queue.enter("a")
      yield* queue.enter("a")
      expect((yield* Effect.flip(queue.enter("a"))).retryAfterSecs).toBeLessThanOrEqual(5)
    }),
  )

  it.effect("gives a place of the owner that has most to another owner, the newest first", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1, 3)
      const order: Array<string> = []
      const greedy = yield* forkAll(4, (n) => work(queue, "greedy", order, `greedy ${n}`))
      yield* forkAll(1, () => work(queue, "modest", order))
      expect(yield* Effect.flip(Fiber.join(greedy[3]!))).toMatchObject({ because: "queue_full" })
      // Two places and one: with a second place for the modest owner it would only be the other way round.
      expect(yield* Effect.flip(queue.enter("modest"))).toMatchObject({ because: "queue_full" })
      yield* TestClock.adjust("10 seconds")
      expect(order).toEqual(["greedy 0", "modest", "greedy 1", "greedy 2"])
    }),
  )

  it.effect("counts large work as several places, and makes room for it in the same fair way", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1, 10)
      yield* queue.enter("a")
      yield* queue.enter("a", 6)
      expect(yield* Effect.flip(queue.enter("a", 5))).toMatchObject({ because: "queue_full" })
      const small = yield* Effect.all(Array.from({ length: 4 }, () => queue.enter("a")))
      // `a` has all ten places. Its four newest go to `b`: as many as necessary, not one more.
      yield* queue.enter("b", 4)
      expect(yield* Effect.all(small.map(({ slot }) => Effect.flip(slot)))).toHaveLength(4)
      expect(yield* Effect.flip(queue.enter("b"))).toMatchObject({ because: "queue_full" })
    }),
  )

  it.effect("lets no place wait longer than `maxWait`", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(1, 10, 30)
      yield* queue.enter("a")
      const fiber = yield* Effect.fork(Effect.flip(work(queue, "b", [])))
      yield* TestClock.adjust("29 seconds")
      expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toMatchObject({ because: "waited_too_long" })
    }),
  )

  it.effect("loses no slot when a place is left while it waits, or just as it is served", () =>
    Effect.gen(function* () {
      const queue = yield* queueOf(2)
      for (let round = 0; round < 50; round++) {
        const fibers = yield* forkAll(6, (n) => work(queue, `owner ${n % 3}`, []))
        yield* TestClock.adjust(round % 2 === 0 ? "0 seconds" : "1 second")
        yield* Fiber.interruptAll(fibers)
      }
      const order: Array<string> = []
      yield* forkAll(4, () => work(queue, "a", order))
      expect(order).toHaveLength(2)
      yield* TestClock.adjust("1 second")
      expect(order).toHaveLength(4)
    }),
  )
})
