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

const admission = (
  allowCidrs: ReadonlyArray<string>,
  { trustedProxies = [] as ReadonlyArray<string>, adminToken = Option.some(Redacted.make("admin")) } = {},
) =>
  Admission.layer({ allowCidrs, trustedProxies, adminToken }).pipe(
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

const asking = (address: string, forwardedFor?: string) =>
  Effect.flatMap(Admission, ({ admitAddress, clientOf }) =>
    Effect.either(admitAddress(clientOf({ address, forwardedFor }))),
  )

describe("an address", () => {
  it.effect.each([
    ["127.0.0.1", true],
    ["::1", true],
    ["::ffff:127.0.0.1", true],
    ["192.168.3.4", true],
    ["::ffff:c0a8:304", true],
    ["fe80::1%eth0", true],
    ["10.0.0.1", false],
    ["", false],
  ] as const)("%j may ask: %j, when the LAN is allowed", ([address, admitted]) =>
    Effect.gen(function* () {
      expect(Either.isRight(yield* asking(address))).toBe(admitted)
    }).pipe(Effect.provide(admission(["192.168.0.0/16", "fe80::/10"]))),
  )

  it.effect.each([
    // Behind the proxy on this host.
    ["127.0.0.1", "192.168.3.4", "admitted"],
    ["127.0.0.1", "127.0.0.1", "admitted"],
    ["127.0.0.1", "10.0.0.1", "service"],
    ["127.0.0.1", "127.0.0.1, 10.0.0.1", "service"],
    ["127.0.0.1", "192.168.3.4, 10.0.0.1", "service"],
    ["127.0.0.1", "rubbish", "unreadable_hop"],
    // Behind the proxy on the LAN: its loopback is not this host.
    ["192.168.1.1", "192.168.3.4", "admitted"],
    ["192.168.1.1", "127.0.0.1", "service"],
    ["192.168.1.1", "::1", "service"],
    ["192.168.1.1", "10.0.0.1", "service"],
    // Behind nobody that is trusted.
    ["127.0.0.2", "192.168.3.4", "undeclared_proxy"],
    ["::1", "127.0.0.1", "undeclared_proxy"],
    ["192.168.3.4", "10.0.0.1", "admitted"],
    ["10.0.0.1", "127.0.0.1", "service"],
    ["10.0.0.1", "192.168.3.4", "service"],
  ] as const)("%s that forwards for %j: %s", ([address, forwardedFor, outcome]) =>
    Effect.gen(function* () {
      const result = Either.match(yield* asking(address, forwardedFor), {
        onLeft: ({ by }) => by,
        onRight: () => "admitted",
      })
      expect(result).toBe(outcome)
    }).pipe(Effect.provide(admission(["192.168.0.0/16"], { trustedProxies: ["127.0.0.1", "192.168.1.1"] }))),
  )

  it.effect("other than loopback may not ask when nothing is allowed", () =>
    Effect.gen(function* () {
      expect(yield* asking("192.168.3.4")).toMatchObject({
        left: { _tag: "AddressNotAllowed", by: "service" },
      })
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
    }).pipe(Effect.provide(admission([], { adminToken: Option.none() }))),
  )
})
