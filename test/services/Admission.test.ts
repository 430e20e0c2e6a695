import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Redacted } from "effect"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { Admission } from "../../src/services/Admission.ts"
import { secrets, tokenStore } from "../../src/testing.ts"

const app = (ipCidrs: ReadonlyArray<string>): AppToken => ({
  id: "0".repeat(26) as TokenId,
  name: "recipes" as TokenName,
  ipCidrs,
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: null,
})

const admission = (allowCidrs: ReadonlyArray<string>, adminToken = Option.some(Redacted.make("admin"))) =>
  Admission.layer({ allowCidrs, adminToken }).pipe(
    Layer.provide([
      secrets,
      tokenStore(
        new Map([
          ["cf_lan", app(["192.168.0.0/16"])],
          ["cf_any", app([])],
        ]),
      ),
    ]),
  )

const bearer = (secret: string) => Option.some(Redacted.make(secret))

describe("an address", () => {
  it.effect.each([
    ["127.0.0.1", false, true],
    ["::1", false, true],
    ["::ffff:127.0.0.1", false, true],
    ["127.0.0.1", true, false],
    ["192.168.3.4", false, true],
    ["192.168.3.4", true, true],
    ["::ffff:c0a8:304", false, true],
    ["fe80::1%eth0", false, true],
    ["10.0.0.1", false, false],
    ["", false, false],
  ] as const)("%j (forwarded: %j) may ask: %j, when the LAN is allowed", ([address, forwarded, admitted]) =>
    Effect.gen(function* () {
      const result = yield* Effect.either((yield* Admission).admitAddress({ address, forwarded }))
      expect(Either.isRight(result)).toBe(admitted)
    }).pipe(Effect.provide(admission(["192.168.0.0/16", "fe80::/10"]))),
  )

  it.effect("other than loopback may not ask when nothing is allowed", () =>
    Effect.gen(function* () {
      const refused = yield* Effect.flip(
        (yield* Admission).admitAddress({ address: "192.168.3.4", forwarded: false }),
      )
      expect(refused).toMatchObject({ _tag: "AddressNotAllowed", by: "service" })
    }).pipe(Effect.provide(admission([]))),
  )
})

describe("a token", () => {
  it.effect("is good only from its own addresses, where it has any", () =>
    Effect.gen(function* () {
      const { admitApp } = yield* Admission
      expect((yield* admitApp(bearer("cf_lan"), "192.168.3.4")).name).toBe("recipes")
      expect((yield* admitApp(bearer("cf_any"), "10.0.0.1")).name).toBe("recipes")
      expect(yield* Effect.flip(admitApp(bearer("cf_lan"), "127.0.0.1"))).toMatchObject({ by: "token" })
      expect(yield* Effect.flip(admitApp(bearer("cf_no"), "127.0.0.1"))).toMatchObject({
        _tag: "Unauthorized",
      })
      expect(yield* Effect.flip(admitApp(Option.none(), "127.0.0.1"))).toMatchObject({ _tag: "Unauthorized" })
    }).pipe(Effect.provide(admission([]))),
  )
})

describe("the admin", () => {
  it.effect("is whoever has the admin token", () =>
    Effect.gen(function* () {
      const { admitAdmin } = yield* Admission
      yield* admitAdmin(bearer("admin"))
      expect(yield* Effect.flip(admitAdmin(bearer("admi")))).toMatchObject({ _tag: "Unauthorized" })
      expect(yield* Effect.flip(admitAdmin(Option.none()))).toMatchObject({ _tag: "Unauthorized" })
    }).pipe(Effect.provide(admission([]))),
  )

  it.effect("is nobody when there is no admin token", () =>
    Effect.gen(function* () {
      const { admitAdmin } = yield* Admission
      for (const given of [bearer(""), bearer("undefined"), Option.none()]) {
        expect(yield* Effect.flip(admitAdmin(given))).toMatchObject({ _tag: "Unauthorized" })
      }
    }).pipe(Effect.provide(admission([], Option.none()))),
  )
})
