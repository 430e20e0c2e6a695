import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Redacted } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { Admission } from "../../src/services/access/Admission.ts"
import type { Refused } from "../../src/services/access/Refusals.ts"
import { TokenStore } from "../../src/services/access/TokenStore.ts"
import { refusals, secrets, tokenStore } from "../../src/testing.ts"

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
  {
    trustedProxies = [] as ReadonlyArray<string>,
    adminToken = Option.some(Redacted.make("admin")),
    refused = [] as Array<Refused>,
  } = {},
) =>
  Admission.layer({ allowCidrs, trustedProxies, adminToken }).pipe(
    Layer.provide([
      secrets,
      refusals(refused),
      tokenStore(
        new Map([
          ["cf_lan", app(["192.168.0.0/16"])],
          ["cf_any", app([])],
        ]),
      ),
    ]),
  )

const from = (address: string) => ({ requestId: "r", address })
const bearer = (secret: string) => Option.some(Redacted.make(secret))

const asking = (address: string, forwardedFor?: string) =>
  Effect.flatMap(Admission, ({ admitAddress, clientOf }) =>
    Effect.either(admitAddress(clientOf({ address, forwardedFor }), "r")),
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
      expect((yield* admitApp(bearer("cf_lan"), from("192.168.3.4"))).name).toBe("recipes")
      expect((yield* admitApp(bearer("cf_any"), from("10.0.0.1"))).name).toBe("recipes")
      expect(yield* Effect.flip(admitApp(bearer("cf_lan"), from("127.0.0.1")))).toMatchObject({ by: "token" })
      expect(yield* Effect.flip(admitApp(bearer("cf_no"), from("127.0.0.1")))).toMatchObject({
        _tag: "Unauthorized",
      })
      expect(yield* Effect.flip(admitApp(Option.none(), from("127.0.0.1")))).toMatchObject({
        _tag: "Unauthorized",
      })
    }).pipe(Effect.provide(admission([]))),
  )
})

describe("the admin", () => {
  it.effect("is whoever has the admin token", () =>
    Effect.gen(function* () {
      const { admitAdmin } = yield* Admission
      yield* admitAdmin(bearer("admin"), from("127.0.0.1"))
      expect(yield* Effect.flip(admitAdmin(bearer("admi"), from("127.0.0.1")))).toMatchObject({
        _tag: "Unauthorized",
      })
      expect(yield* Effect.flip(admitAdmin(Option.none(), from("127.0.0.1")))).toMatchObject({
        _tag: "Unauthorized",
      })
    }).pipe(Effect.provide(admission([]))),
  )

  it.effect("is nobody when there is no admin token", () =>
    Effect.gen(function* () {
      const { admitAdmin } = yield* Admission
      for (const given of [bearer(""), bearer("undefined"), Option.none()]) {
        expect(yield* Effect.flip(admitAdmin(given, from("127.0.0.1")))).toMatchObject({
          _tag: "Unauthorized",
        })
      }
    }).pipe(Effect.provide(admission([], { adminToken: Option.none() }))),
  )
})

describe("who is refused", () => {
  it.effect("is recorded: from where, why, and whose token it was; who is admitted is not", () => {
    const refused: Array<Refused> = []
    return Effect.gen(function* () {
      const { admitAdmin, admitApp } = yield* Admission
      yield* asking("127.0.0.1")
      yield* asking("10.0.0.1")
      yield* asking("127.0.0.1", "10.0.0.1")
      yield* asking("192.168.1.1", "rubbish")
      for (const secret of ["cf_any", "cf_lan", "cf_no"]) {
        yield* Effect.either(admitApp(bearer(secret), from("10.0.0.2")))
      }
      yield* Effect.either(admitApp(Option.none(), from("10.0.0.3")))
      yield* Effect.either(admitAdmin(bearer("admin"), from("10.0.0.4")))
      yield* Effect.either(admitAdmin(bearer("cf_any"), from("10.0.0.4")))
      const address = { code: "ip_not_allowed", tokenId: null }
      const token = { code: "unauthorized", tokenId: null }
      expect(refused).toEqual([
        { ...address, reason: "service", origin: from("10.0.0.1") },
        { ...address, reason: "undeclared_proxy", origin: from("127.0.0.1") },
        { ...address, reason: "unreadable_hop", origin: from("192.168.1.1") },
        { ...address, reason: "token", origin: from("10.0.0.2"), tokenId: app([]).id },
        { ...token, reason: "bearer", origin: from("10.0.0.2") },
        { ...token, reason: "bearer", origin: from("10.0.0.3") },
        { ...token, reason: "admin_bearer", origin: from("10.0.0.4") },
      ])
    }).pipe(Effect.provide(admission([], { trustedProxies: ["192.168.1.1"], refused })))
  })

  it.effect("is not whom a ledger that fails cannot tell from others", () => {
    const refused: Array<Refused> = []
    const failing = Layer.mock(TokenStore, {
      authenticate: () => new StorageFailed({ during: "looking up a token", cause: "disk" }),
    })
    return Effect.gen(function* () {
      const { admitApp } = yield* Admission
      expect(yield* Effect.flip(admitApp(bearer("cf_any"), from("127.0.0.1")))).toMatchObject({
        _tag: "StorageFailed",
      })
      expect(refused).toEqual([])
    }).pipe(
      Effect.provide(
        Admission.layer({ allowCidrs: [], trustedProxies: [], adminToken: Option.none() }).pipe(
          Layer.provide([secrets, refusals(refused), failing]),
        ),
      ),
    )
  })
})
