import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted, Scope, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { FileId, TokenId } from "../../src/domain/Ids.ts"
import { Files } from "../../src/services/files/Files.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { fileContents, ids, LedgerMemory, ledger, secrets } from "../../src/testing.ts"

const mine = "0".repeat(26) as TokenId
const theirs = "1".repeat(26) as TokenId
const origin = { requestId: "r", address: "127.0.0.1" }

const withFiles = <A, E>(
  test: (files: typeof Files.Service, disk: Map<FileId, Uint8Array>) => Effect.Effect<A, E, Scope.Scope>,
  memory = new LedgerMemory(),
  disk = new Map<FileId, Uint8Array>(),
  records = ledger(memory),
) => {
  const layer = Files.layer({ maxUploadBytes: 100_000, maxBytesPerToken: 250_000 }).pipe(
    Layer.provide([fileContents(disk), ids, records, secrets]),
  )
  return Effect.flatMap(Files, (files) => test(files, disk)).pipe(Effect.scoped, Effect.provide(layer))
}

const upload = (files: typeof Files.Service, owner: TokenId, size: number, ttlSecs = 60) =>
  Effect.scoped(
    Effect.gen(function* () {
      const arriving = yield* files.receive(owner)
      yield* arriving.write(new Uint8Array(size))
      return Redacted.value((yield* arriving.keep("a.txt", ttlSecs, origin)).token)
    }),
  )

describe("files", () => {
  it.effect("can be used only by the app that they belong to", () =>
    withFiles((files) =>
      Effect.gen(function* () {
        const token = yield* upload(files, mine, 10_000)
        expect((yield* files.find([token], mine)).map(({ size }) => size)).toEqual([10_000])
        expect(yield* Effect.flip(files.find([token], theirs))).toMatchObject({ _tag: "FileNotFound" })
        expect(yield* Effect.flip(files.find(["ff_none"], mine))).toMatchObject({ _tag: "FileNotFound" })
        expect(yield* Effect.flip(files.find([token, ""], mine))).toMatchObject({ _tag: "FileNotFound" })
      }),
    ),
  )

  it.effect("are attached once when they are named twice", () =>
    withFiles((files) =>
      Effect.gen(function* () {
        const token = yield* upload(files, mine, 10_000)
        const found = yield* files.find([token, token], mine)
        yield* files.hold(found)
        expect(yield* files.attach(found, "/work")).toEqual([{ path: "/work/file-1.txt", name: "a.txt" }])
      }),
    ),
  )

  it.effect("cannot be used, and can be removed, from the second at which they expire", () =>
    withFiles((files, disk) =>
      Effect.gen(function* () {
        const token = yield* upload(files, mine, 10_000, 90)
        yield* TestClock.adjust("89 seconds")
        yield* Effect.scoped(Effect.flatMap(files.find([token], mine), files.hold))
        yield* TestClock.adjust("1 second")
        expect(yield* Effect.flip(files.find([token], mine))).toMatchObject({ _tag: "FileNotFound" })
        expect(disk.size).toBe(1)
        expect(yield* files.expire).toBe(1)
        expect(yield* files.expire).toBe(0)
        expect(disk.size).toBe(0)
      }),
    ),
  )

  it.effect("are not removed while a run holds them, even when they expire", () =>
    withFiles((files, disk) =>
      Effect.gen(function* () {
        const token = yield* upload(files, mine, 10_000)
        const run = yield* Scope.make()
        const held = yield* files.find([token], mine)
        yield* Scope.extend(files.hold(held), run)
        yield* TestClock.adjust("10 minutes")
        expect(yield* files.expire).toBe(0)
        expect(yield* files.attach(held, "/work")).toHaveLength(1)
        yield* Scope.close(run, Exit.void)
        expect(yield* files.expire).toBe(1)
        expect(disk.size).toBe(0)
      }),
    ),
  )

  it.effect("fail at the first byte over the limit, and leave nothing", () =>
    withFiles((files, disk) =>
      Effect.gen(function* () {
        yield* upload(files, mine, 100_000)
        expect(yield* Effect.flip(upload(files, mine, 100_001))).toMatchObject({
          _tag: "FileTooLarge",
          limit: 100_000,
        })
        expect(disk.size).toBe(1)
      }),
    ),
  )

  it.effect("of one app stay within its quota, also when they arrive at the same time", () =>
    withFiles((files, disk) =>
      Effect.gen(function* () {
        const results = yield* Effect.all(
          Array.from({ length: 10 }, () => Effect.exit(upload(files, mine, 60_000))),
          { concurrency: "unbounded" },
        )
        expect(results.filter(Exit.isSuccess)).toHaveLength(4)
        expect(disk.size).toBe(4)
        const refused = yield* Effect.flip(upload(files, mine, 60_000))
        expect(refused).toMatchObject({ _tag: "QuotaExceeded", limit: 250_000, retryAfterSecs: 60 })
        yield* upload(files, theirs, 60_000)
        yield* TestClock.adjust("30 seconds")
        expect(yield* Effect.flip(upload(files, mine, 60_000))).toMatchObject({ retryAfterSecs: 30 })
        yield* TestClock.adjust("30 seconds")
        yield* upload(files, mine, 60_000)
      }),
    ),
  )

  it.effect("count as one block at least, so that their number is limited", () =>
    withFiles((files) =>
      Effect.gen(function* () {
        const results = yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.exit(upload(files, mine, 0)),
        )
        expect(results.filter(Exit.isSuccess)).toHaveLength(Math.floor(250_000 / 4096))
        yield* TestClock.adjust("60 seconds")
        yield* upload(files, mine, 100_000)
        yield* upload(files, mine, 100_000)
      }),
    ),
  )

  it.effect("are removed even when one of them cannot be removed", () => {
    const disk = new Map<FileId, Uint8Array>()
    return withFiles(
      (files) =>
        Effect.gen(function* () {
          for (let n = 0; n < 3; n++) yield* upload(files, mine, 10_000)
          const [stuck] = disk.keys()
          disk.delete = (id) => {
            if (id === stuck) throw new Error("a disk that fails")
            return Map.prototype.delete.call(disk, id)
          }
          yield* TestClock.adjust("60 seconds")
          expect(yield* files.expire).toBe(3)
          expect([...disk.keys()]).toEqual([stuck])
        }),
      new LedgerMemory(),
      disk,
    )
  })

  it.effect("leave a full disk when they expire, and their rows follow when there is room", () => {
    const memory = new LedgerMemory()
    const disk = new Map<FileId, Uint8Array>()
    let isFull = true
    const fullLedger = Layer.effect(
      Ledger,
      Effect.map(Ledger, (whole) => ({
        ...whole,
        files: {
          ...whole.files,
          remove: (...how: Parameters<typeof whole.files.remove>) =>
            Effect.suspend(() =>
              isFull
                ? new StorageFailed({ during: "a test", cause: "a full disk" })
                : whole.files.remove(...how),
            ),
        },
      })),
    ).pipe(Layer.provide(ledger(memory)))
    return withFiles(
      (files) =>
        Effect.gen(function* () {
          const [held] = [yield* upload(files, mine, 10_000), yield* upload(files, mine, 10_000)]
          yield* files.hold(yield* files.find([held], mine))
          yield* TestClock.adjust("60 seconds")
          expect(yield* Effect.flip(files.expire)).toMatchObject({ _tag: "StorageFailed" })
          expect([disk.size, memory.files.size]).toEqual([1, 2])
          isFull = false
          expect(yield* files.expire).toBe(1)
          expect([disk.size, memory.files.size]).toEqual([1, 1])
        }),
      memory,
      disk,
      fullLedger,
    )
  })

  it.effect("give their quota back when the upload is broken off", () =>
    withFiles((files) =>
      Effect.gen(function* () {
        for (let n = 0; n < 10; n++) {
          yield* Effect.scoped(
            Effect.flatMap(files.receive(mine), ({ write }) => write(new Uint8Array(90_000))),
          )
        }
        yield* upload(files, mine, 90_000)
      }),
    ),
  )

  it.effect("count after a restart, and incomplete ones are removed", () => {
    const memory = new LedgerMemory()
    const disk = new Map<FileId, Uint8Array>()
    return Effect.gen(function* () {
      yield* withFiles(
        (files) => Effect.all([upload(files, mine, 90_000), upload(files, mine, 90_000)]),
        memory,
        disk,
      )
      disk.set("9".repeat(26) as FileId, new Uint8Array(50))
      yield* withFiles(
        (files) =>
          Effect.gen(function* () {
            expect(disk.size).toBe(2)
            expect(yield* Effect.flip(upload(files, mine, 90_000))).toMatchObject({ _tag: "QuotaExceeded" })
          }),
        memory,
        disk,
      )
    })
  })
})
