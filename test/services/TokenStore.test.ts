import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Redacted, TestClock } from "effect"
import { IN_PROCESS, type TokenName } from "../../src/domain/Token.ts"
import { TokenStore } from "../../src/services/access/TokenStore.ts"
import { ids, LedgerMemory, ledger, secrets } from "../../src/testing.ts"

const origin = { requestId: "r", address: "127.0.0.1" }
const name = "recipes" as TokenName

const store = (memory = new LedgerMemory()) =>
  TokenStore.layer.pipe(Layer.provide([ledger(memory), ids, secrets]))

describe("TokenStore", () => {
  it.effect("knows an app by its secret until the token is revoked, and at once no more", () =>
    Effect.gen(function* () {
      const tokens = yield* TokenStore
      const { secret } = yield* tokens.mint(name, [], origin)
      expect((yield* tokens.authenticate(secret)).name).toBe(name)

      expect(Option.isSome(yield* tokens.revoke(name, origin))).toBe(true)

      expect(yield* Effect.flip(tokens.authenticate(secret))).toMatchObject({ _tag: "Unauthorized" })
      expect(yield* tokens.revoke(name, origin)).toEqual(Option.none())
    }).pipe(Effect.provide(store())),
  )

  it.effect("gives a name that was revoked to a new token, which is somebody else", () =>
    Effect.gen(function* () {
      const tokens = yield* TokenStore
      const first = yield* tokens.mint(name, [], origin)
      expect(yield* Effect.flip(tokens.mint(name, [], origin))).toMatchObject({ _tag: "TokenNameTaken" })
      yield* tokens.revoke(name, origin)

      const second = yield* tokens.mint(name, [], origin)

      expect(second.token.id).not.toBe(first.token.id)
      expect(Either.isLeft(yield* Effect.either(tokens.authenticate(first.secret)))).toBe(true)
    }).pipe(Effect.provide(store())),
  )

  it.effect("has one token for an app of this process, however often and at once it is asked for", () =>
    Effect.gen(function* () {
      const tokens = yield* TokenStore
      const all = yield* Effect.all(
        Array.from({ length: 20 }, () => tokens.named(name, IN_PROCESS)),
        { concurrency: "unbounded" },
      )
      expect(new Set(all.map(({ id }) => id)).size).toBe(1)
      expect(yield* tokens.list).toHaveLength(1)

      yield* tokens.revoke(name, origin)

      expect((yield* tokens.named(name, IN_PROCESS)).id).not.toBe(all[0]?.id)
    }).pipe(Effect.provide(store())),
  )

  it.effect("does not know a secret that nobody minted, nor a name", () =>
    Effect.gen(function* () {
      const tokens = yield* TokenStore
      expect(yield* Effect.flip(tokens.authenticate(Redacted.make("cf_x")))).toMatchObject({
        _tag: "Unauthorized",
      })
      expect(yield* Effect.flip(tokens.revoke(name, origin))).toMatchObject({ _tag: "TokenNotFound" })
    }).pipe(Effect.provide(store())),
  )

  it.effect("writes last_used_at once in a while, not once a request", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const tokens = yield* TokenStore
      const { secret } = yield* tokens.mint(name, [], origin)
      yield* Effect.repeatN(tokens.authenticate(secret), 999)
      expect(memory.touches).toBe(0)

      yield* TestClock.adjust("5 seconds")

      expect(memory.touches).toBe(1)
      expect((yield* tokens.list)[0]?.lastUsedAt).toBe(0)
      yield* TestClock.adjust("1 minute")
      expect(memory.touches).toBe(1)
    }).pipe(Effect.provide(store(memory)))
  })

  it.effect("writes what is left when it closes", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const tokens = yield* TokenStore
      yield* tokens.authenticate((yield* tokens.mint(name, [], origin)).secret)
    }).pipe(
      Effect.provide(store(memory)),
      Effect.tap(() => expect(memory.touches).toBe(1)),
    )
  })
})
