import { describe, expect, it } from "@effect/vitest"
import { allowlistOf } from "../../src/services/access/Allowlist.ts"
import { clientOf } from "../../src/services/access/ClientAddress.ts"

/** The trusted proxies: one on this host, one on the LAN, and a network. */
const trusted = allowlistOf(["127.0.0.1", "192.168.1.1", "fd00:1::/64"])

const client = (address: string, forwardedFor?: string) => clientOf({ address, forwardedFor }, trusted)

describe("the client of a request", () => {
  it.each([
    ["192.168.3.4", "192.168.3.4", false],
    ["::ffff:192.168.3.4", "192.168.3.4", false],
    ["fe80::1%eth0", "fe80::1", false],
    ["2001:DB8:0::1", "2001:db8::1", false],
    ["127.0.0.1", "127.0.0.1", true],
    ["::ffff:127.0.0.1", "127.0.0.1", true],
    ["::1", "::1", true],
    ["", "", false],
  ])("is the peer %j itself when it forwards nothing: %j (on this host: %j)", (peer, address, local) => {
    expect(client(peer)).toEqual({ address, local })
  })

  it.each([
    ["192.168.1.1", "10.0.0.9"],
    ["127.0.0.1", "10.0.0.9"],
    ["::ffff:192.168.1.1", "10.0.0.9"],
    ["fd00:1::7", "10.0.0.9"],
    // A chain: the client, a proxy on the LAN, a proxy on this host.
    ["127.0.0.1", "10.0.0.9, 192.168.1.1"],
    ["127.0.0.1", "10.0.0.9,192.168.1.1:4711, [fd00:1::2]:80 ,127.0.0.1"],
    // The client has sent a header itself. It is to the left of the hop that the proxy has added.
    ["127.0.0.1", "127.0.0.1, 10.0.0.9"],
    ["127.0.0.1", "192.168.1.1, 127.0.0.1, 10.0.0.9, 192.168.1.1"],
    ["127.0.0.1", "rubbish, , <script>, 10.0.0.9"],
    // With a port and in brackets: all spellings that proxies use.
    ["127.0.0.1", "10.0.0.9:567"],
    ["127.0.0.1", "\t10.0.0.9 "],
    ["127.0.0.1", "::ffff:10.0.0.9"],
    ["127.0.0.1", "[::ffff:10.0.0.9]:567"],
  ])("behind the trusted peer %s that forwards for %j is 10.0.0.9", (peer, forwardedFor) => {
    expect(client(peer, forwardedFor)).toEqual({ address: "10.0.0.9", local: false })
  })

  it.each(["2001:db8::9", "[2001:db8::9]", "[2001:db8::9]:80", "2001:0DB8:0:0::9"])(
    "behind a trusted peer that forwards for %j is 2001:db8::9",
    (hop) => {
      expect(client("192.168.1.1", `10.0.0.9, ${hop}`)).toEqual({ address: "2001:db8::9", local: false })
    },
  )

  it("is the left-most hop when every hop is a trusted proxy", () => {
    expect(client("127.0.0.1", "fd00:1::2, 192.168.1.1").address).toBe("fd00:1::2")
  })

  it.each([
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.1", "::1", true],
    ["192.168.1.1", "127.0.0.1", false],
    ["192.168.1.1", "[::1]:80", false],
  ])("behind %s, when the hop is %s, is on this host only if the peer is", (peer, hop, local) => {
    expect(client(peer, hop).local).toBe(local)
  })

  it.each(["127.0.0.2", "::1", "::ffff:127.0.0.2"])(
    "is not known behind %s, an undeclared proxy on this host",
    (peer) => {
      for (const hops of ["10.0.0.9", "127.0.0.1", ""])
        expect(client(peer, hops)).toMatchObject({ unknown: "undeclared_proxy" })
    },
  )

  it("is a remote peer itself, whatever it forwards, when the peer is not trusted", () => {
    for (const hops of ["127.0.0.1", "10.0.0.9, 127.0.0.1", "rubbish", ""])
      expect(client("192.168.3.4", hops)).toEqual({ address: "192.168.3.4", local: false })
  })

  it.each([
    "",
    ",",
    "10.0.0.9,",
    "10.0.0.9, unknown",
    "10.0.0.9, rubbish, 192.168.1.1",
    "10.0.0",
    "10.0.0.256",
    "010.0.0.9",
    "10.0.0.9:port",
    "10.0.0.9:1234567",
    "[2001:db8::9",
    "2001:db8::9]",
    "[]:80",
    "fe80::1%eth0",
    "for=10.0.0.9",
    "10.0.0.9 10.0.0.8",
    "example.org",
  ])("is not known when a hop of %j is no address; the peer's address is used", (hops) => {
    expect(client("192.168.1.1", hops)).toEqual({
      address: "192.168.1.1",
      local: false,
      unknown: "unreadable_hop",
    })
  })

  it.each([
    ["that it made up", `${"127.0.0.1, ".repeat(10_000)}10.0.0.9`, { address: "10.0.0.9" }],
    ["of nothing", ",".repeat(100_000), { unknown: "unreadable_hop" }],
    ["of blanks", " ".repeat(16_000), { unknown: "unreadable_hop" }],
    ["without an end", "1".repeat(16_000), { unknown: "unreadable_hop" }],
    ["all trusted", "192.168.1.1,".repeat(10_000), { unknown: "unreadable_hop" }],
    ["all trusted, with an end", `${"127.0.0.1,".repeat(10_000)}127.0.0.1`, { unknown: "unreadable_hop" }],
  ])("is found quickly in a header with thousands of hops %s", (_, hops, expected) => {
    const took = Array.from({ length: 100 }, () => {
      const from = performance.now()
      const found = client("127.0.0.1", hops)
      const millis = performance.now() - from
      expect(found).toMatchObject(expected)
      return millis
    })
    // The fastest of several: a busy machine only makes the others slower.
    expect(Math.min(...took)).toBeLessThan(5)
  })

  it("can be behind up to 64 trusted proxies", () => {
    expect(client("127.0.0.1", `10.0.0.9${", 192.168.1.1".repeat(64)}`).address).toBe("10.0.0.9")
    expect(client("127.0.0.1", `10.0.0.9${", 192.168.1.1".repeat(65)}`).unknown).toBe("unreadable_hop")
  })
})
