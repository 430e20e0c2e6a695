import { describe, expect, it } from "@effect/vitest"
import { siteJudge, type SiteSettings } from "../../src/services/access/Site.ts"

const NOTHING = { host: undefined, origin: undefined, forwardedHost: undefined, forwardedProto: undefined }

const judge = (headers: Partial<Parameters<ReturnType<typeof siteJudge>>[0]>, settings: SiteSettings = {}) =>
  siteJudge(settings)({ ...NOTHING, ...headers })

describe("the host of a request", () => {
  it.each([
    "127.0.0.1",
    "127.0.0.1:8800",
    "192.168.1.5:80",
    "[::1]",
    "[::1]:8800",
    "[fe80::1]:8800",
    "[::ffff:10.0.0.1]:8800",
    "203.0.113.9",
    "localhost",
    "LOCALHOST:8800",
    "localhost.",
    "clawdforge",
    "claw_forge:8800",
    "forge.local",
    "Forge.LAN:8800",
    "a.b.internal",
    "host.docker.internal:8800",
    "forge.home.arpa",
    "app.localhost:3000",
    "",
  ])("may be %s", (host) => {
    expect(judge({ host })).toEqual({})
  })

  it("may be absent", () => {
    expect(judge({})).toEqual({})
  })

  it.each([
    "evil.example",
    "evil.example:8800",
    "127.0.0.1.evil.example",
    "localhost.evil.example:8800",
    "local.evil.example",
    "evil.locals",
    "evillocal.com",
    "arpa.home",
    "xlan.com",
    "home.arpa.evil.example",
    "evil.example.",
    "1.2.3.4.nip.io",
  ])("may not be %s", (host) => {
    expect(judge({ host })).toEqual({ refused: "host" })
  })

  it.each([
    "localhost, localhost",
    "localhost, evil.example",
    "localhost evil.example",
    "evil@localhost",
    "localhost/evil.example",
    "localhost#.evil.example",
    "localhost?x",
    "http://localhost",
    "[::1",
    "::1",
    "[::1]x",
    "localhost:99999",
    "localhost:80:80",
    "a:b:c",
    "loc%61lhost",
    "1.2.3.4.5",
    ":8800",
    "\u00e4",
  ])("that is no host is unreadable: %s", (host) => {
    expect(judge({ host })).toEqual({ refused: "host_unreadable" })
  })

  it("may have a name that the operator allows, in any spelling; or any with *", () => {
    const settings = { allowedHosts: ["forge.example.com", "box.tail1.ts.net."] }
    expect(judge({ host: "Forge.Example.com:8443" }, settings)).toEqual({})
    expect(judge({ host: "forge.example.com." }, settings)).toEqual({})
    expect(judge({ host: "box.tail1.ts.net" }, settings)).toEqual({})
    expect(judge({ host: "evil.forge.example.com" }, settings)).toEqual({ refused: "host" })
    expect(judge({ host: "evil.example" }, { allowedHosts: ["*"] })).toEqual({})
  })

  it("is allowed only if the forwarded one is allowed too", () => {
    expect(judge({ host: "127.0.0.1:8800", forwardedHost: "evil.example" })).toEqual({ refused: "host" })
    expect(judge({ host: "evil.example", forwardedHost: "localhost" })).toEqual({ refused: "host" })
    expect(judge({ host: "evil.example", forwardedHost: "x, localhost" })).toEqual({ refused: "host" })
    expect(judge({ host: "10.0.0.1", forwardedHost: "forge.lan" })).toEqual({})
  })
})

describe("the page of a request", () => {
  it.each([
    ["http://127.0.0.1:8800", "127.0.0.1:8800"],
    ["http://localhost", "localhost"],
    ["http://localhost", "localhost:80"],
    ["https://forge.lan", "forge.lan"],
    ["https://forge.lan", "forge.lan:443"],
    ["https://forge.lan:8443", "Forge.LAN:8443"],
    ["http://[::1]:8800", "[::1]:8800"],
    ["http://[::1]:8800", "[0:0::1]:8800"],
  ])("may be the service's own: %s on %s", (origin, host) => {
    expect(judge({ origin, host })).toEqual({})
  })

  it.each([
    ["http://127.0.0.1:8801", "127.0.0.1:8800"],
    ["http://localhost:8800", "127.0.0.1:8800"],
    ["http://evil.example", "127.0.0.1:8800"],
    ["http://127.0.0.1:8800.evil.example", "127.0.0.1:8800"],
    ["http://evil.example@127.0.0.1:8800", "127.0.0.1:8800"],
    ["http://127.0.0.1:8800/", "127.0.0.1:8800"],
    ["http://[::1]:8801", "[::1]:8800"],
    ["https://forge.lan", "forge.lan:80"],
    ["http://forge.lan", "forge.lan:443"],
    ["http://forge.lan, http://evil.example", "forge.lan"],
    ["null", "forge.lan"],
    ["", "forge.lan"],
    ["file://", "forge.lan"],
    ["ftp://forge.lan", "forge.lan"],
    ["http://forge.lan", undefined],
  ])("may not be another: %s on %s", (origin, host) => {
    expect(judge({ origin, host })).toEqual({ refused: "origin" })
  })

  it("is the service's own by what a trusted proxy forwards, in the scheme that it forwards", () => {
    const proxied = { host: "127.0.0.1:8800", forwardedHost: "forge.lan:8443" }
    expect(judge({ ...proxied, origin: "https://forge.lan:8443" })).toEqual({})
    expect(judge({ ...proxied, origin: "https://forge.lan:8443", forwardedProto: "https" })).toEqual({})
    expect(judge({ ...proxied, origin: "http://forge.lan:8443", forwardedProto: "https" })).toEqual({
      refused: "origin",
    })
    expect(judge({ ...proxied, origin: "https://evil.lan" })).toEqual({ refused: "origin" })
  })

  it("may be another if the operator allows it; the host is checked all the same", () => {
    const settings = { corsOrigins: ["https://app.example", "tauri://localhost"] }
    for (const origin of settings.corsOrigins) {
      expect(judge({ origin, host: "forge.lan" }, settings)).toEqual({ crossOrigin: origin })
      expect(judge({ origin, host: "evil.example" }, settings)).toEqual({ refused: "host" })
    }
    for (const origin of ["http://app.example", "https://app.example:8443", "https://x.app.example"]) {
      expect(judge({ origin, host: "forge.lan" }, settings)).toEqual({ refused: "origin" })
    }
  })
})
