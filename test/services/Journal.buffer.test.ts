import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, type Scope, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { RunId, TokenId } from "../../src/domain/Ids.ts"
import { IN_PROCESS } from "../../src/domain/Origin.ts"
import { Journal, runScope } from "../../src/services/journal/Journal.ts"
import { Ledger, type NewMessage } from "../../src/services/journal/Ledger.ts"
import { makeMessageBuffer, type MessageBuffer } from "../../src/services/journal/MessageBuffer.ts"
import * as Mock from "../../src/testing.ts"
import { streamOf } from "../support/Followed.ts"
import { turnsOfLoop } from "../support/Pace.ts"

const run = (n: number) => String(n).padStart(26, "0") as RunId
const RUN = run(1)
const broken = new StorageFailed({ during: "a test", cause: "a full disk" })
/** Longer than messages of a run that nobody follows may wait. */
const AGED = "2 seconds"

/** Where a buffer stores messages. */
class Disk {
  /** The bodies of each transaction, in order. */
  readonly transactions: Array<ReadonlyArray<string>> = []
  readonly followed = new Set<RunId>()
  before: Effect.Effect<void, StorageFailed> = Effect.void

  readonly write = (messages: ReadonlyArray<NewMessage>) =>
    Effect.zipRight(
      Effect.suspend(() => this.before),
      Effect.sync(() => void this.transactions.push(messages.map(({ body }) => body))),
    )

  /** All bodies in the order in which they are stored. */
  get stored() {
    return this.transactions.flat()
  }

  readonly buffer: Effect.Effect<MessageBuffer, never, Scope.Scope> = makeMessageBuffer(this.write, (run) =>
    this.followed.has(run),
  )
}

/** Waits for turns of the event loop, which the buffer gives to others between two transactions. */
const turn = Effect.promise(() => turnsOfLoop(2))

describe("messages of a run that nobody follows", () => {
  it.scoped("wait a moment, and are stored together", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      for (const body of ["1", "2", "3"]) yield* append(RUN, [body])
      expect(disk.stored).toEqual([])
      yield* TestClock.adjust(AGED)
      yield* turn
      expect(disk.transactions).toEqual([["1", "2", "3"]])
    })
  })

  it.scoped("of many runs are stored in one transaction", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      for (let n = 0; n < 50; n++) yield* append(run(n), [`${n}`])
      yield* TestClock.adjust(AGED)
      yield* turn
      // One flush may be taken before the others are asked for.
      expect(disk.transactions.length).toBeLessThanOrEqual(2)
      expect(disk.stored).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`))
    })
  })

  it.scoped("are stored at once when more than 64 Ki characters wait", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      const half = "x".repeat(32 * 1024)
      yield* append(RUN, [half, half])
      yield* append(run(2), ["another run's"])
      expect(disk.stored).toEqual([])
      yield* append(RUN, ["!"])
      expect(disk.transactions).toEqual([[half, half, "!"]])
    })
  })

  it.scoped("are given to the transaction that ends the run, in their order and once", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append, drain, flush } = yield* disk.buffer
      yield* append(RUN, ["1"])
      yield* flush(RUN)
      yield* append(RUN, ["2", "3"])
      yield* append(run(2), ["another run's"])
      const ended = yield* drain(RUN, (unstored) => Effect.as(disk.write(unstored), "ended"))
      expect(ended).toBe("ended")
      expect(disk.transactions).toEqual([["1"], ["2", "3"]])
      yield* TestClock.adjust(AGED)
      yield* turn
      expect(disk.transactions).toEqual([["1"], ["2", "3"], ["another run's"]])
      yield* drain(RUN, (unstored) => Effect.sync(() => expect(unstored).toEqual([])))
    })
  })

  it.scoped("that are being stored when the run ends come before those of its end", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append, drain, flush } = yield* disk.buffer
      const door = yield* Effect.makeLatch(false)
      disk.before = door.await
      yield* append(RUN, ["1"])
      const flushing = yield* Effect.fork(flush(RUN))
      yield* turn
      yield* append(RUN, ["2"])
      const draining = yield* Effect.fork(drain(RUN, disk.write))
      yield* turn
      expect(disk.stored).toEqual([])
      yield* door.open
      yield* Fiber.join(flushing)
      yield* Fiber.join(draining)
      expect(disk.stored).toEqual(["1", "2"])
    })
  })

  it.scoped(
    "keep their order, and are stored once each, however appends, flushes and failures fall together",
    () => {
      const disk = new Disk()
      return Effect.gen(function* () {
        const { append, drain, flush } = yield* disk.buffer
        let writes = 0
        disk.before = Effect.suspend(() => {
          writes += 1
          return Effect.zipRight(turn, writes % 3 === 0 ? broken : Effect.void)
        })
        const flushes = yield* Effect.fork(
          Effect.forever(Effect.zipRight(Effect.ignore(flush(RUN)), Effect.yieldNow())),
        )
        for (let n = 0; n < 60; n++) {
          yield* Effect.ignore(append(RUN, [`${n}`]))
          if (n % 4 === 0) yield* turn
          if (n === 30) disk.followed.add(RUN)
        }
        yield* Fiber.interrupt(flushes)
        yield* Effect.retry(drain(RUN, disk.write), { times: 3 })
        expect(disk.stored).toEqual(Array.from({ length: 60 }, (_, n) => `${n}`))
      })
    },
  )
})

describe("messages of a run that is followed", () => {
  it.scoped("are stored when the append returns", () => {
    const disk = new Disk()
    disk.followed.add(RUN)
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      yield* append(RUN, ["1"])
      expect(disk.stored).toEqual(["1"])
      yield* append(RUN, ["2", "3"])
      expect(disk.stored).toEqual(["1", "2", "3"])
    })
  })

  it.scoped("are stored though the caller of the append goes away meanwhile", () => {
    const disk = new Disk()
    disk.followed.add(RUN)
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      const door = yield* Effect.makeLatch(false)
      disk.before = door.await
      const appending = yield* Effect.fork(append(RUN, ["1"]))
      yield* turn
      yield* Fiber.interruptFork(appending)
      yield* turn
      yield* door.open
      yield* Fiber.await(appending)
      expect(disk.stored).toEqual(["1"])
    })
  })
})

describe("a ledger that fails", () => {
  it.scoped("fails the append that waits for it, and its messages are kept for the next", () => {
    const disk = new Disk()
    disk.followed.add(RUN)
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      disk.before = broken
      expect(yield* Effect.flip(append(RUN, ["1"]))).toBe(broken)
      disk.before = Effect.void
      yield* append(RUN, ["2"])
      expect(disk.transactions).toEqual([["1", "2"]])
    })
  })

  it.scoped("in the background fails the next append of each run, once, and loses no message", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append } = yield* disk.buffer
      yield* append(RUN, ["1"])
      yield* append(run(2), ["a"])
      disk.before = broken
      yield* TestClock.adjust(AGED)
      yield* turn
      yield* turn
      expect(yield* Effect.flip(append(RUN, ["2"]))).toBe(broken)
      expect(yield* Effect.flip(append(run(2), ["b"]))).toBe(broken)
      disk.before = Effect.void
      yield* append(RUN, ["3"])
      yield* append(run(2), ["c"])
      yield* TestClock.adjust(AGED)
      yield* turn
      yield* turn
      expect(disk.stored.filter((body) => /\d/.test(body))).toEqual(["1", "2", "3"])
      expect(disk.stored.filter((body) => /\D/.test(body))).toEqual(["a", "b", "c"])
    })
  })

  it.scoped("while messages are stored is no success for a flush that waits for that", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append, drain, flush } = yield* disk.buffer
      const door = yield* Effect.makeLatch(false)
      yield* append(RUN, ["1"])
      const draining = yield* Effect.fork(Effect.flip(drain(RUN, () => Effect.zipRight(door.await, broken))))
      yield* turn
      const flushing = yield* Effect.fork(flush(RUN))
      yield* turn
      yield* door.open
      expect(yield* Fiber.join(draining)).toBe(broken)
      yield* Fiber.join(flushing)
      expect(disk.stored).toEqual(["1"])
    })
  })

  it.scoped("at a run's end keeps the messages for the next attempt", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append, drain } = yield* disk.buffer
      yield* append(RUN, ["1", "2"])
      for (let n = 0; n < 3; n++) expect(yield* Effect.flip(drain(RUN, () => broken))).toBe(broken)
      const defect = yield* Effect.exit(drain(RUN, () => Effect.die("a bug")))
      expect(Exit.isFailure(defect)).toBe(true)
      yield* drain(RUN, disk.write)
      expect(disk.transactions).toEqual([["1", "2"]])
    })
  })

  it.scoped("keeps the messages of an end that is interrupted", () => {
    const disk = new Disk()
    return Effect.gen(function* () {
      const { append, drain } = yield* disk.buffer
      yield* append(RUN, ["1"])
      const draining = yield* Effect.fork(drain(RUN, () => Effect.never))
      yield* turn
      yield* Fiber.interrupt(draining)
      yield* drain(RUN, disk.write)
      expect(disk.stored).toEqual(["1"])
    })
  })
})

const bodies = (items: ReadonlyArray<object>) =>
  items.flatMap((item) => ("body" in item && "kind" in item && item.kind === "message" ? [item.body] : []))
const say = (from: number, to: number) =>
  Effect.flatMap(Journal, ({ append }) =>
    Effect.forEach(
      Array.from({ length: to - from }, (_, n) => `${from + n}`),
      (body) => append(RUN, [body]),
      { discard: true },
    ),
  )

describe("a follower of a run", () => {
  const accepted = Effect.flatMap(Ledger, ({ runs }) =>
    runs.accept(
      {
        kind: "run",
        id: RUN,
        owner: "0".repeat(26) as TokenId,
        origin: IN_PROCESS,
        input: { prompt: "hello", files: [] },
        timeoutSecs: 60,
        model: "none",
        systemMode: "append",
        isSchemaNative: false,
      },
      { at: 0, startedAt: 0 },
    ),
  )
  const unknown = { stopReason: null, durationMs: null, responseChars: null, usage: null, costUsd: null }
  const ended = Effect.flatMap(Journal, ({ drain }) =>
    Effect.flatMap(Ledger, ({ runs }) =>
      drain(RUN, (unstored) =>
        runs.end(RUN, {
          at: 1,
          ended: { ...unknown, status: "completed", code: null },
          last: { kind: "result", body: "{}" },
          unstored,
          began: true,
        }),
      ),
    ),
  )
  const inMemory = Layer.provideMerge(Journal.layer, Mock.ledger())
  it.effect("that comes in the middle gets everything once and in order, stored or not when it comes", () =>
    Effect.gen(function* () {
      yield* accepted
      yield* say(0, 10)
      yield* TestClock.adjust(AGED)
      yield* turn
      yield* say(10, 20)
      const [one, other] = [yield* Effect.fork(streamOf(RUN)), yield* Effect.fork(streamOf(RUN))]
      yield* say(20, 30)
      yield* turn
      yield* say(30, 40)
      const late = yield* Effect.fork(streamOf(RUN))
      yield* say(40, 50)
      yield* ended
      const all = Array.from({ length: 50 }, (_, n) => `${n}`)
      for (const follower of [one, other, late]) expect(bodies(yield* Fiber.join(follower))).toEqual(all)
      expect(bodies(yield* streamOf(RUN))).toEqual(all)
    }).pipe(Effect.provide(inMemory)),
  )

  it.effect("goes, and the messages after it wait again; the next follower gets them", () =>
    Effect.gen(function* () {
      const { read, bytesAfter } = yield* Journal
      const { streams } = yield* Ledger
      yield* accepted
      const first = yield* Effect.fork(streamOf(RUN))
      yield* turn
      yield* say(0, 2)
      expect(bodies(yield* streams.read(RUN, 0))).toEqual(["0", "1"])
      yield* Fiber.interrupt(first)
      yield* say(2, 4)
      expect(bodies(yield* streams.read(RUN, 0))).toEqual(["0", "1"])
      // Reading stores what waits.
      expect(yield* bytesAfter(RUN, 0)).toBeGreaterThanOrEqual(4)
      yield* say(4, 6)
      expect(bodies(yield* read(runScope(RUN), 0))).toEqual(["0", "1", "2", "3", "4", "5"])
      yield* say(6, 8)
      const next = yield* Effect.fork(streamOf(RUN))
      yield* turn
      yield* ended
      expect(bodies(yield* Fiber.join(next))).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"])
    }).pipe(Effect.provide(inMemory)),
  )
})
