import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { StorageFailed, Unauthorized } from "../../src/domain/Failure.ts"
import type { TokenId } from "../../src/domain/Ids.ts"
import { IN_PROCESS } from "../../src/domain/Origin.ts"
import { TokenName } from "../../src/domain/Token.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { TokenStore } from "../../src/services/access/TokenStore.ts"
import * as Mock from "../../src/testing.ts"

const NAME = TokenName.make("recipes")
const OTHER = TokenName.make("diary")

const services = Revocation.layer.pipe(
  Layer.provideMerge(TokenStore.layer),
  Layer.provide([Mock.ids, Mock.secrets, Mock.ledger()]),
)

const minted = (name: TokenName) => Effect.flatMap(TokenStore, ({ mint }) => mint(name, [], IN_PROCESS))

const revoked = (name: TokenName) => Effect.flatMap(Revocation, ({ revoke }) => revoke(name, IN_PROCESS))

/** Registers an end that notes that it was called, and with which app. */
const noting = (name: string, calls: Array<[string, TokenId]>, work: Effect.Effect<void> = Effect.void) =>
  Effect.flatMap(Revocation, ({ register }) =>
    register((owner) =>
      Effect.zipRight(
        Effect.sync(() => calls.push([name, owner])),
        work,
      ),
    ),
  )

describe("a revocation", () => {
  it.scoped("ends what is registered, in the order of registration, for the app of that name", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      for (const name of ["runs", "sessions", "streams"]) yield* noting(name, calls)
      const { token } = yield* minted(NAME)
      yield* minted(OTHER)
      expect(yield* revoked(NAME)).toEqual({ alreadyRevoked: false })
      expect(calls).toEqual([
        ["runs", token.id],
        ["sessions", token.id],
        ["streams", token.id],
      ])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("refuses the token before anything is ended", () =>
    Effect.gen(function* () {
      const { register } = yield* Revocation
      const { authenticate } = yield* TokenStore
      const { secret } = yield* minted(NAME)
      const refused: Array<boolean> = []
      yield* register(() =>
        Effect.map(Effect.either(authenticate(secret)), ({ _tag }) => void refused.push(_tag === "Left")),
      )
      yield* revoked(NAME)
      expect(refused).toEqual([true])
      expect(yield* Effect.flip(authenticate(secret))).toBeInstanceOf(Unauthorized)
    }).pipe(Effect.provide(services)),
  )

  it.scoped("tells each end the origin of the request", () =>
    Effect.gen(function* () {
      const { register, revoke } = yield* Revocation
      const origins: Array<unknown> = []
      yield* register((_, origin) => Effect.sync(() => void origins.push(origin)))
      yield* minted(NAME)
      const origin = { requestId: "r-1", address: "192.0.2.1" }
      yield* revoke(NAME, origin)
      expect(origins).toEqual([origin])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("of an unknown name fails, and ends nothing", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      yield* noting("runs", calls)
      yield* minted(OTHER)
      expect(yield* Effect.flip(revoked(NAME))).toMatchObject({ _tag: "TokenNotFound" })
      expect(calls).toEqual([])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("ends nothing a second time; the next token of that name is another app", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      yield* noting("runs", calls)
      const first = yield* minted(NAME)
      yield* revoked(NAME)
      expect(yield* revoked(NAME)).toEqual({ alreadyRevoked: true })
      expect(calls).toEqual([["runs", first.token.id]])
      const second = yield* minted(NAME)
      expect(yield* revoked(NAME)).toEqual({ alreadyRevoked: false })
      expect(calls.slice(1)).toEqual([["runs", second.token.id]])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("no longer ends what was registered in a scope that is closed", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      const scope = yield* Scope.make()
      yield* Scope.extend(noting("gone", calls), scope)
      yield* noting("there", calls)
      yield* Scope.close(scope, Exit.void)
      yield* minted(NAME)
      yield* revoked(NAME)
      expect(calls.map(([name]) => name)).toEqual(["there"])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("cannot be interrupted half-way: once the token is revoked, everything is ended", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      const reached = yield* Deferred.make<void>()
      const door = yield* Deferred.make<void>()
      yield* noting(
        "runs",
        calls,
        Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(door)),
      )
      yield* noting("sessions", calls)
      yield* minted(NAME)
      const revoking = yield* Effect.fork(revoked(NAME))
      yield* Deferred.await(reached)
      yield* Fiber.interruptFork(revoking)
      yield* Effect.yieldNow()
      expect(yield* Fiber.poll(revoking)).toEqual(Option.none())
      yield* Deferred.succeed(door, undefined)
      yield* Fiber.await(revoking)
      expect(calls.map(([name]) => name)).toEqual(["runs", "sessions"])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("ends the rest though one end has a defect, which is not hidden", () =>
    Effect.gen(function* () {
      const calls: Array<[string, TokenId]> = []
      yield* noting("runs", calls, Effect.die("a bug"))
      yield* noting("sessions", calls)
      yield* minted(NAME)
      expect(Exit.isFailure(yield* Effect.exit(revoked(NAME)))).toBe(true)
      expect(calls.map(([name]) => name)).toEqual(["runs", "sessions"])
    }).pipe(Effect.provide(services)),
  )

  it.scoped("that cannot be recorded ends nothing", () => {
    const calls: Array<[string, TokenId]> = []
    const failure = new StorageFailed({ during: "a test", cause: "a full disk" })
    const failing = Layer.mock(TokenStore, { revoke: () => failure })
    return Effect.gen(function* () {
      yield* noting("runs", calls)
      expect(yield* Effect.flip(revoked(NAME))).toMatchObject({ _tag: "StorageFailed" })
      expect(calls).toEqual([])
    }).pipe(Effect.provide(Revocation.layer.pipe(Layer.provide(failing))))
  })
})
