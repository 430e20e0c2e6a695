import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Redacted, Schema, TestClock } from "effect"
import { ShuttingDown } from "../../src/domain/Failure.ts"
import { UploadAnswer } from "../../src/domain/File.ts"
import type { FileId, RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { IdempotencyKey, Origin } from "../../src/domain/Origin.ts"
import type { RunEnded } from "../../src/domain/Run.ts"
import type { AgentName, AgentSessionRef } from "../../src/domain/Session.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { OPERATOR } from "../../src/domain/Viewer.ts"
import { secretsLayer } from "../../src/infra/Identifiers.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Idempotency, type RequestFields } from "../../src/services/runs/Idempotency.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import * as Mock from "../../src/testing.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const origin: Origin = { requestId: "r", address: "127.0.0.1" }
const app = (n: number): AppToken => ({
  id: `01J0000000000000000000000${n}` as TokenId,
  name: `app-${n}` as TokenName,
  ipCidrs: [],
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: null,
})
const [mine, theirs] = [app(1), app(2)] as const
const RunAnswer = Schema.Struct({ run_id: Schema.String })
const HOURS_24 = 24 * 60 * 60 * 1000

const ended: RunEnded = {
  status: "completed",
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage: null,
  costUsd: null,
}
const last = { kind: "result", body: "{}" } as const

const keyed = (more: { owner?: TokenId; route?: string; key?: string; asked?: RequestFields } = {}) => ({
  owner: mine.id,
  route: "POST /run",
  key: "k",
  asked: { prompt: "hello" } as RequestFields,
  ...more,
})

type Request = ReturnType<typeof keyed>

/** A run that is accepted, and its key with it. */
const accepted = (origin: Origin, owner = mine.id) =>
  Effect.gen(function* () {
    const id = `${Math.random()}`.slice(2).padEnd(26, "0").slice(0, 26) as RunId
    const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const run = {
      kind: "run",
      id,
      owner,
      origin,
      input: { prompt: "hello", files: [] },
      timeoutSecs: 60,
    } as const
    const how = { model: "sonnet", systemMode: "append", isSchemaNative: false } as const
    yield* (yield* Ledger).runs.accept({ ...run, ...how }, { at, startedAt: undefined })
    return { run_id: id }
  })

const named = (key: string): IdempotencyKey => ({ route: "POST /x", key, fingerprint: "f" })
const withKey = (key: string): Origin => ({ ...origin, idempotencyKey: named(key) })

const file = {
  id: "01J00000000000000000000003" as FileId,
  tokenId: mine.id,
  name: "a",
  size: 1,
  createdAt: 0,
  expiresAt: 60_000,
}
const uploadOf = (token: string, origin: Origin) => ({
  file,
  token: Redacted.make(token),
  hash: "h",
  ttlSecs: 60,
  origin,
})

/** Keeps a text as an upload's answer is kept: with a row of its own. */
const keep = (text: string, origin: Origin) =>
  Effect.flatMap(Ledger, ({ files }) => Effect.orDie(files.insert(uploadOf(text, origin))))

const requestOf = (request: Request | undefined) => ({ key: request, fields: request?.asked ?? {}, origin })

const once = (request: Request | undefined) =>
  Effect.flatMap(Idempotency, (idempotency) =>
    idempotency.once(requestOf(request), RunAnswer, (origin) => accepted(origin, request?.owner)),
  )

const runs = Effect.flatMap(Ledger, ({ runs }) => runs.page({ viewer: OPERATOR }, 100))

const services = <E, R>(ledger: Layer.Layer<Ledger, E, R>) =>
  Idempotency.layer.pipe(
    Layer.provideMerge(Layer.merge(ledger, secretsLayer)),
    Layer.provide(Logger.remove(Logger.defaultLogger)),
  )

const twoApps = Effect.gen(function* () {
  const { tokens } = yield* Ledger
  yield* tokens.insert(mine, "h1", origin)
  yield* tokens.insert(theirs, "h2", origin)
})

const inSqlite = <A, E>(test: Effect.Effect<A, E, Idempotency | Ledger>) =>
  Effect.flatMap(temporaryDirectory, (dir) =>
    Effect.zipRight(twoApps, test).pipe(
      Effect.provide(
        services(SqliteLedger.layer().pipe(Layer.provide(Database.layer(join(dir, "ledger.db"))))),
      ),
    ),
  ).pipe(Effect.scoped)

const inMemory = <A, E>(test: Effect.Effect<A, E, Idempotency | Ledger>) =>
  Effect.suspend(() =>
    Effect.zipRight(twoApps, test).pipe(Effect.provide(services(Mock.ledger(new Mock.LedgerMemory())))),
  )

for (const [where, inLedger] of [
  ["in SQLite", inSqlite],
  ["in memory", inMemory],
] as const) {
  describe(`a request with a key, ${where},`, () => {
    it.effect("is done once, and gets the first answer again", () =>
      inLedger(
        Effect.gen(function* () {
          const first = yield* once(keyed())
          expect(first.replayed).toBe(false)
          expect(yield* once(keyed())).toEqual({ answer: first.answer, replayed: true })
          expect(yield* once(keyed())).toEqual({ answer: first.answer, replayed: true })
          expect((yield* runs).map(({ id }) => id)).toEqual([first.answer.run_id])
        }),
      ),
    )

    it.effect("without a key is done each time", () =>
      inLedger(
        Effect.gen(function* () {
          expect((yield* once(undefined)).replayed).toBe(false)
          expect((yield* once(undefined)).replayed).toBe(false)
          expect(yield* runs).toHaveLength(2)
        }),
      ),
    )

    it.effect(
      "is the same whatever the order of its fields, and with a null for a field that is absent",
      () =>
        inLedger(
          Effect.gen(function* () {
            const asked = { prompt: "hello", output_schema: { type: "object", properties: { a: {}, b: {} } } }
            const again = {
              system: null,
              output_schema: { properties: { b: {}, a: {} }, type: "object" },
              prompt: "hello",
            }
            yield* once(keyed({ asked }))
            expect((yield* once(keyed({ asked: again }))).replayed).toBe(true)
          }),
        ),
    )

    it.effect.each<[string, RequestFields]>([
      ["another text", { prompt: "hello!" }],
      ["a field more", { prompt: "hello", timeout_secs: 5 }],
      ["a list in another order", { prompt: "hello", files: ["b", "a"] }],
      ["a number for a text", { prompt: "hello", model: 1 }],
      ["a null inside", { prompt: "hello", meta: { a: null } }],
      ["a text that looks like two fields", { prompt: 'hello","system":"x' }],
    ])("that asks for %s is a conflict, and changes nothing", ([, asked]) =>
      inLedger(
        Effect.gen(function* () {
          for (const before of [{ prompt: "hello" }, { prompt: "hello", files: ["a", "b"], meta: {} }]) {
            const key = JSON.stringify(before)
            const first = yield* once(keyed({ key, asked: before }))
            const refused = yield* Effect.flip(once(keyed({ key, asked })))
            expect(refused).toMatchObject({ _tag: "IdempotencyConflict", code: "idempotency_conflict" })
            expect(yield* once(keyed({ key, asked: before }))).toEqual({ ...first, replayed: true })
          }
          expect(yield* runs).toHaveLength(2)
        }),
      ),
    )

    it.effect("of another app, on another route or with another key is another request", () =>
      inLedger(
        Effect.gen(function* () {
          yield* once(keyed())
          for (const other of [
            { owner: theirs.id },
            { route: "POST /sessions/1/turn" },
            { route: "POST /sessions/2/turn" },
            { key: "K" },
          ])
            expect((yield* once(keyed({ ...other, asked: { prompt: "other" } }))).replayed).toBe(false)
          expect(yield* runs).toHaveLength(5)
        }),
      ),
    )

    it.effect("is done once, however many of it come at once", () =>
      inLedger(
        Effect.gen(function* () {
          const answers = yield* Effect.all(
            Array.from({ length: 50 }, () => once(keyed())),
            { concurrency: "unbounded" },
          )
          expect(new Set(answers.map(({ answer }) => answer.run_id)).size).toBe(1)
          expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
          expect(yield* runs).toHaveLength(1)
        }),
      ),
    )

    it.effect("counts for 24 hours, whether or not anybody removes it then", () =>
      inLedger(
        Effect.gen(function* () {
          const first = yield* once(keyed())
          yield* TestClock.adjust(HOURS_24 - 1)
          expect((yield* once(keyed())).replayed).toBe(true)
          yield* TestClock.adjust(1)
          const second = yield* once(keyed({ asked: { prompt: "something else" } }))
          expect(second.replayed).toBe(false)
          expect(second.answer).not.toEqual(first.answer)
          yield* TestClock.adjust(HOURS_24 - 1)
          expect((yield* once(keyed({ asked: { prompt: "something else" } }))).answer).toEqual(second.answer)
        }),
      ),
    )

    it.effect("leaves its key free when its run never starts, and takes it when it does", () =>
      inLedger(
        Effect.gen(function* () {
          const ledger = yield* Ledger
          const first = yield* once(keyed())
          const failed = { ended: { ...ended, status: "failed" }, last, unstored: [] } as const
          yield* ledger.runs.end(first.answer.run_id as RunId, { ...failed, at: 1, began: false })
          const second = yield* once(keyed({ asked: { prompt: "another" } }))
          expect(second.replayed).toBe(false)
          yield* ledger.runs.start(second.answer.run_id as RunId, 2)
          yield* ledger.runs.end(second.answer.run_id as RunId, { ...failed, at: 3, began: true })
          expect(yield* once(keyed({ asked: { prompt: "another" } }))).toEqual({ ...second, replayed: true })
        }),
      ),
    )

    it.effect("keeps a session's answer with the session, and an upload's with the upload", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions, files, keys } = yield* Ledger
          const id = "00000000-0000-4000-8000-000000000001" as SessionId
          const meta = JSON.parse('{"__proto__":{"a":1}}')
          const request = {
            agent: "claude" as AgentName,
            model: null,
            meta,
            permissionMode: "deny-all",
          } as const
          const opening = { ...request, id, tokenId: mine.id, origin: withKey("s"), at: 0 }
          yield* sessions.reserve(opening, 9)
          expect(yield* keys.find(mine.id, named("s"), 0)).toEqual(Option.none())
          yield* sessions.activate(opening, "ref" as AgentSessionRef)
          const found = Option.getOrThrow(yield* keys.find(mine.id, named("s"), 0))
          expect(found.answer).toBe(
            `{"id":"${id}","agent":"claude","model":null,"meta":{"__proto__":{"a":1}},"createdAt":0}`,
          )

          yield* files.insert(uploadOf("ff_1", withKey("f")))
          const kept = Option.getOrThrow(yield* keys.find(mine.id, named("f"), 0))
          expect(kept.answer).toBe('{"token":"ff_1","size":1,"ttlSecs":60}')
          expect(yield* keys.find(theirs.id, named("f"), 0)).toEqual(Option.none())

          yield* (yield* Ledger).tokens.revoke(mine.name, 1, origin)
          const late = { ...file, id: "01J00000000000000000000004" as FileId }
          yield* Effect.flip(files.insert({ ...uploadOf("ff_1", withKey("late")), file: late, hash: "h2" }))
          expect(yield* keys.find(mine.id, named("late"), 0)).toEqual(Option.none())
        }),
      ),
    )
  })
}

it.effect("keeps a session or an upload whose key is taken neither as itself nor as an answer", () =>
  inSqlite(
    Effect.gen(function* () {
      const { sessions, files, keys } = yield* Ledger
      yield* accepted(withKey("k"))
      const id = "00000000-0000-4000-8000-000000000001" as SessionId
      const request = {
        agent: "claude" as AgentName,
        model: null,
        meta: null,
        permissionMode: "deny-all",
      } as const
      const opening = { ...request, id, tokenId: mine.id, origin: withKey("k"), at: 0 }
      yield* sessions.reserve(opening, 9)
      expect(yield* Effect.flip(sessions.activate(opening, "ref" as AgentSessionRef))).toMatchObject({
        _tag: "StorageFailed",
      })
      expect(yield* sessions.find(id)).toEqual(Option.none())
      expect(yield* Effect.flip(files.insert(uploadOf("another", withKey("k"))))).toMatchObject({
        _tag: "StorageFailed",
      })
      expect(yield* files.list).toEqual([])
      expect(Option.getOrThrow(yield* keys.find(mine.id, named("k"), 0)).answer).toContain("run_id")
    }),
  ),
)

describe("those that wait for a key", () => {
  /** The text is kept as the token of an upload. */
  const Text = Schema.transform(UploadAnswer, Schema.Struct({ text: Schema.String }), {
    strict: true,
    decode: ({ token }) => ({ text: Redacted.value(token) }),
    encode: ({ text }) => ({ token: Redacted.make(text), size: 1, ttlSecs: 60 }),
  })
  const work = (effect: Effect.Effect<string, ShuttingDown>, request = keyed()) =>
    Effect.flatMap(Idempotency, (idempotency) =>
      idempotency.once(requestOf(request), Text, (origin) =>
        Effect.tap(
          Effect.map(effect, (text) => ({ text })),
          ({ text }) => keep(text, origin),
        ),
      ),
    )
  it.effect("do it themselves, one after the other, when it fails", () =>
    inMemory(
      Effect.gen(function* () {
        const tried: Array<number> = []
        const attempt = (n: number) =>
          work(
            Effect.suspend(() => {
              tried.push(n)
              return tried.length < 3 ? new ShuttingDown() : Effect.succeed(`by ${n}`)
            }).pipe(Effect.delay("1 second")),
          )
        const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => Effect.fork(Effect.either(attempt(n))))
        yield* TestClock.adjust("10 seconds")
        const answers = yield* Effect.forEach(fibers, Fiber.join)
        expect(tried).toEqual([1, 2, 3])
        expect(answers.map(({ _tag }) => _tag)).toEqual(["Left", "Left", "Right", "Right", "Right"])
        expect(answers.slice(2)).toMatchObject([
          { right: { answer: { text: "by 3" }, replayed: false } },
          { right: { answer: { text: "by 3" }, replayed: true } },
          { right: { answer: { text: "by 3" }, replayed: true } },
        ])
      }),
    ),
  )

  it.effect("are not disturbed when one of them goes, or the one that they wait for", () =>
    inMemory(
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const first = yield* Effect.fork(
          work(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)),
        )
        yield* Deferred.await(begun)
        const [second, third, fourth] = yield* Effect.all([
          Effect.fork(work(Effect.succeed("second"))),
          Effect.fork(work(Effect.succeed("third"))),
          Effect.fork(work(Effect.succeed("fourth"))),
        ])
        yield* Effect.yieldNow()
        expect(Exit.isInterrupted(yield* Fiber.interrupt(second))).toBe(true)
        expect(yield* Fiber.poll(third)).toEqual(Option.none())
        expect(Exit.isInterrupted(yield* Fiber.interrupt(first))).toBe(true)
        expect(yield* Fiber.join(third)).toEqual({ answer: { text: "third" }, replayed: false })
        expect(yield* Fiber.join(fourth)).toEqual({ answer: { text: "third" }, replayed: true })
      }),
    ),
  )

  it.effect("wait for nobody with another key, of another app or on another route", () =>
    inMemory(
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const slow = yield* Effect.fork(
          work(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)),
        )
        yield* Deferred.await(begun)
        for (const other of [{ key: "other" }, { owner: theirs.id }, { route: "POST /files" }])
          expect((yield* once(keyed(other))).replayed).toBe(false)
        yield* Fiber.interrupt(slow)
      }),
    ),
  )
})

it.effect("leaves open what the work adds to the scope of its caller", () =>
  inMemory(
    Effect.gen(function* () {
      const { once } = yield* Idempotency
      let isOpen = true
      const closing = Effect.addFinalizer(() => Effect.sync(() => (isOpen = false)))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* once(requestOf(keyed()), RunAnswer, (origin) => Effect.zipLeft(accepted(origin), closing))
          expect(isOpen).toBe(true)
        }),
      )
      expect(isOpen).toBe(false)
    }),
  ),
)

it.effect("a request may be nested as deeply as it can be sent", () =>
  inMemory(
    Effect.gen(function* () {
      const deep = JSON.parse(`${'{"a":['.repeat(5000)}1${"]}".repeat(5000)}`)
      yield* once(keyed({ asked: { deep } }))
      expect((yield* once(keyed({ asked: { deep } }))).replayed).toBe(true)
      const deeper = JSON.parse(`${'{"a":['.repeat(5000)}2${"]}".repeat(5000)}`)
      expect(yield* Effect.flip(once(keyed({ asked: { deep: deeper } })))).toMatchObject({
        _tag: "IdempotencyConflict",
      })
    }),
  ),
)
