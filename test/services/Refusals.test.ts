import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Scope, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { Refusal } from "../../src/domain/Refusal.ts"
import { Ledger, type RefusalRecords } from "../../src/services/journal/Ledger.ts"
import { type Refused, Refusals } from "../../src/services/access/Refusals.ts"
import { LedgerMemory, ledger } from "../../src/testing.ts"

const refused = (address: string, more: Partial<Refused> = {}, requestId = "r"): Refused => ({
  code: "unauthorized",
  reason: "bearer",
  tokenId: null,
  origin: { address, requestId },
  ...more,
})

const onLedger = (memory: LedgerMemory) => Refusals.layer.pipe(Layer.provide(ledger(memory)))
const onRecords = (append: RefusalRecords["append"]) =>
  Refusals.layer.pipe(
    Layer.provide(
      Layer.effect(
        Ledger,
        Effect.map(Ledger, (rest) => ({ ...rest, refusals: { append } })),
      ),
    ),
    Layer.provide(ledger()),
    Layer.provide(Logger.remove(Logger.defaultLogger)),
  )

const total = (rows: ReadonlyArray<Refusal>) => rows.reduce((sum, { count }) => sum + count, 0)

describe("refused admissions", () => {
  it.effect("are one row an address, a reason and a second, with the first one's request id", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const { record } = yield* Refusals
      yield* TestClock.setTime(5100)
      yield* record(refused("10.0.0.1", {}, "first"))
      for (let n = 0; n < 999; n++) yield* record(refused("10.0.0.1"))
      yield* record(refused("10.0.0.2"))
      yield* record(refused("10.0.0.1", { reason: "admin_bearer" }))
      const own = { code: "ip_not_allowed", reason: "token", tokenId: "t" as TokenId } as const
      yield* record(refused("10.0.0.1", own))
      yield* TestClock.adjust("900 millis")
      yield* record(refused("10.0.0.1", {}, "later"))

      yield* TestClock.adjust("1 second")

      const row = {
        at: 5000,
        code: "unauthorized",
        reason: "bearer",
        tokenId: null,
        requestId: "r",
        count: 1,
      }
      expect(memory.refusals).toEqual([
        { ...row, address: "10.0.0.1", requestId: "first", count: 1000 },
        { ...row, address: "10.0.0.2" },
        { ...row, address: "10.0.0.1", reason: "admin_bearer" },
        { ...row, address: "10.0.0.1", ...own },
        { ...row, at: 6000, address: "10.0.0.1", requestId: "later" },
      ])
    }).pipe(Effect.provide(onLedger(memory)))
  })

  it.effect("have no row before their second is over: it would get a second one", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const { record } = yield* Refusals
      // The service looks at 1000, 2000, …; half a second later it is in the middle of one.
      yield* TestClock.adjust("500 millis")
      for (let n = 0; n < 30; n++) {
        yield* record(refused("10.0.0.1"))
        yield* TestClock.adjust("100 millis")
      }
      yield* TestClock.adjust("2 seconds")
      expect(memory.refusals.map(({ at, count }) => [at, count])).toEqual([
        [0, 5],
        [1000, 10],
        [2000, 10],
        [3000, 5],
      ])
    }).pipe(Effect.provide(onLedger(memory)))
  })

  it.effect("from more than a thousand addresses a second are counted together", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const { record } = yield* Refusals
      for (let second = 0; second < 2; second++) {
        for (let n = 0; n < 3000; n++) {
          const own = { reason: "token", tokenId: `t${n}` as TokenId } as const
          yield* record(refused(`10.0.${n >> 8}.${n & 255}`, n % 2 === 0 ? {} : own))
        }
        yield* record(refused("10.0.0.0"))
        yield* TestClock.adjust("1 second")
        const rows = memory.refusals.splice(0)
        expect(rows).toHaveLength(1002)
        expect(total(rows)).toBe(3001)
        expect(rows[0]).toMatchObject({ address: "10.0.0.0", count: 2 })
        expect(rows.slice(1000)).toMatchObject([
          { at: second * 1000, address: "other", reason: "bearer", tokenId: null, count: 1000 },
          { at: second * 1000, address: "other", reason: "token", tokenId: null, count: 1000 },
        ])
      }
    }).pipe(Effect.provide(onLedger(memory)))
  })

  it.effect("are kept while the ledger fails, not too many, and written when it is well again", () => {
    const written: Array<Refusal> = []
    let well = false
    const append: RefusalRecords["append"] = (rows) =>
      well
        ? Effect.sync(() => void written.push(...rows))
        : new StorageFailed({ during: "recording who was refused", cause: "disk" })
    return Effect.gen(function* () {
      const { record } = yield* Refusals
      for (let second = 0; second < 30; second++) {
        for (let n = 0; n < 500; n++) yield* record(refused(`10.0.${n >> 8}.${n & 255}`))
        yield* TestClock.adjust("1 second")
      }
      well = true
      yield* TestClock.adjust("1 second")
      expect(written).toHaveLength(10_001)
      expect(total(written)).toBe(15_000)
      yield* record(refused("10.0.0.1"))
      yield* TestClock.adjust("1 second")
      expect(written.slice(10_001)).toMatchObject([{ at: 31_000, address: "10.0.0.1", count: 1 }])
    }).pipe(Effect.provide(onRecords(append)))
  })

  it.effect("do not wait for the ledger, and go on being counted while it writes", () =>
    Effect.gen(function* () {
      const written: Array<Refusal> = []
      const disk = yield* Deferred.make<void>()
      const append: RefusalRecords["append"] = (rows) =>
        Effect.zipRight(
          Deferred.await(disk),
          Effect.sync(() => void written.push(...rows)),
        )
      yield* Effect.gen(function* () {
        const { record } = yield* Refusals
        yield* record(refused("10.0.0.1"))
        yield* TestClock.adjust("1 second")
        yield* record(refused("10.0.0.1"))
        expect(written).toEqual([])
        yield* Deferred.succeed(disk, undefined)
        yield* TestClock.adjust("1 second")
        expect(written.map(({ at, count }) => [at, count])).toEqual([
          [0, 1],
          [1000, 1],
        ])
      }).pipe(Effect.provide(onRecords(append)))
    }),
  )

  it.effect("are written when the service closes, also those that are just being written", () =>
    Effect.gen(function* () {
      const written: Array<Refusal> = []
      const disk = yield* Deferred.make<void>()
      const append: RefusalRecords["append"] = (rows) =>
        Effect.zipRight(
          Deferred.await(disk),
          Effect.sync(() => void written.push(...rows)),
        )
      const scope = yield* Scope.make()
      const { record } = yield* Effect.provide(
        Refusals,
        yield* Layer.buildWithScope(onRecords(append), scope),
      )
      yield* record(refused("10.0.0.1"))
      yield* TestClock.adjust("1 second")
      yield* record(refused("10.0.0.2"))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(disk, undefined)
      yield* Fiber.join(closing)
      expect(written.map(({ address }) => address)).toEqual(["10.0.0.1", "10.0.0.2"])
    }),
  )
})
