import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Either, Option, Redacted } from "effect"
import { explain, load } from "../../src/infra/Config.ts"

const loadFrom = (variables: Record<string, string>) =>
  load.pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)))))

describe("the configuration", () => {
  it.effect("has the contract's defaults", () =>
    Effect.gen(function* () {
      expect(yield* loadFrom({})).toMatchObject({
        host: "127.0.0.1",
        port: 8800,
        defaultModel: "sonnet",
        defaultTimeoutSecs: 120,
        maxConcurrentRuns: 8,
        dataDir: "./data",
        runsDir: "data/runs",
        dbPath: "data/clawdforge.db",
        maxBodyBytes: 12 * 1024 * 1024,
        allowCidrs: [],
        trustedProxies: [],
        corsOrigins: [],
        allowedHosts: [],
        adminToken: Option.none(),
      })
    }),
  )

  it.effect("takes blank values as unset, as compose files make them", () =>
    Effect.map(loadFrom({ BIND_PORT: "", ALLOW_CIDRS: " ", ADMIN_BOOTSTRAP_TOKEN: "" }), (config) => {
      expect(config.port).toBe(8800)
      expect(config.adminToken).toEqual(Option.none())
    }),
  )

  it.effect("reads lists of CIDRs, IPv4 and IPv6", () =>
    Effect.map(
      loadFrom({ ALLOW_CIDRS: "192.168.0.0/16, fd00::/8", TRUSTED_PROXIES: "127.0.0.1,::1" }),
      ({ allowCidrs, trustedProxies }) => {
        expect(allowCidrs).toEqual(["192.168.0.0/16", "fd00::/8"])
        expect(trustedProxies).toEqual(["127.0.0.1", "::1"])
      },
    ),
  )

  it.effect("reads origins and host names as browsers write them", () =>
    Effect.map(
      loadFrom({
        CORS_ORIGINS: "HTTPS://App.Example:443/, http://localhost:3000,tauri://localhost",
        ALLOWED_HOSTS: "Forge.Example.com, *",
      }),
      ({ corsOrigins, allowedHosts }) => {
        expect(corsOrigins).toEqual(["https://app.example", "http://localhost:3000", "tauri://localhost"])
        expect(allowedHosts).toEqual(["forge.example.com", "*"])
      },
    ),
  )

  it.effect.each<[string, string]>([
    ["CORS_ORIGINS", "*"],
    ["CORS_ORIGINS", "app.example"],
    ["CORS_ORIGINS", "null"],
    ["CORS_ORIGINS", "https://app.example/path"],
    ["CORS_ORIGINS", "https://*.example"],
    ["ALLOWED_HOSTS", "forge.example.com:8800"],
    ["ALLOWED_HOSTS", "https://forge.example.com"],
    ["ALLOWED_HOSTS", "*.example.com"],
  ])("refuses %s=%s", ([name, value]) =>
    Effect.map(Effect.flip(loadFrom({ [name]: value })), (error) => {
      expect(explain(error)).toEqual([expect.stringContaining(`${name}: given ${value}, expected `)])
    }),
  )

  it.effect("never shows the admin token", () =>
    Effect.map(loadFrom({ ADMIN_BOOTSTRAP_TOKEN: "s".repeat(40) }), (config) => {
      expect(Redacted.value(Option.getOrThrow(config.adminToken))).toBe("s".repeat(40))
      expect(JSON.stringify(config)).not.toContain("ssss")
    }),
  )

  it.effect("names every bad variable at once, in a line each, without secrets", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.either(
        loadFrom({
          BIND_PORT: "eighty",
          ALLOW_CIDRS: "10.0.0.0/8,everyone",
          TRUSTED_PROXIES: "nginx",
          ADMIN_BOOTSTRAP_TOKEN: "too-short-a-secret",
          DEFAULT_TIMEOUT_SECS: "0",
          CLAWDFORGE_MAX_CONCURRENT_RUNS: "-1",
          DEFAULT_MODEL: "--rm",
        }),
      )
      const lines = Either.match(failure, { onLeft: explain, onRight: () => [] })
      expect(lines).toEqual([
        "BIND_PORT: given eighty, expected a whole number from 0 to 65535",
        "ADMIN_BOOTSTRAP_TOKEN: given <redacted, 18 characters>, expected a secret of your own (not the example's) of at least 32 printable characters without blanks",
        "ALLOW_CIDRS: given 10.0.0.0/8,everyone, expected CIDRs such as 192.168.0.0/16,fd00::/8",
        "TRUSTED_PROXIES: given nginx, expected CIDRs such as 192.168.0.0/16,fd00::/8",
        "DEFAULT_MODEL: given --rm, expected a model name",
        "DEFAULT_TIMEOUT_SECS: given 0, expected a whole number from 1 to 3600",
        "CLAWDFORGE_MAX_CONCURRENT_RUNS: given -1, expected a whole number from 1 to 1024",
      ])
    }),
  )

  it.effect("refuses the admin token of .env.example", () =>
    Effect.map(
      Effect.either(loadFrom({ ADMIN_BOOTSTRAP_TOKEN: "change-me-to-at-least-32-random-characters" })),
      (result) => {
        expect(Either.isLeft(result)).toBe(true)
      },
    ),
  )
})
