import { describe, expect, it } from "@effect/vitest"
import { allowlistOf, isLoopback, parseCidr, cachedAllowlists } from "../../src/services/access/Allowlist.ts"

describe("an allowlist", () => {
  it.each([
    ["192.168.0.0/16", "192.168.3.4"],
    ["192.168.3.4/32", "192.168.3.4"],
    ["192.168.3.4", "192.168.3.4"],
    ["0.0.0.0/0", "8.8.8.8"],
    ["192.168.0.0/16", "::ffff:192.168.3.4"],
    ["192.168.0.0/16", "::ffff:c0a8:0304"],
    ["::ffff:192.168.0.0/112", "192.168.3.4"],
    ["::ffff:c0a8:0000/112", "192.168.3.4"],
    ["::ffff:192.168.3.4", "192.168.3.4"],
    ["fd00::/8", "fd12:3456::1"],
    ["fe80::/10", "fe80::1%eth0"],
    ["2001:db8::1/128", "2001:db8:0:0:0:0:0:1"],
    ["::/0", "2001:db8::1"],
    ["10.1.2.3/8", "10.200.0.1"],
  ])("%s has %s", (cidr, address) => {
    expect(allowlistOf([cidr]).has(address)).toBe(true)
  })

  it.each([
    ["192.168.0.0/16", "192.169.0.1"],
    ["192.168.3.4/32", "192.168.3.5"],
    ["::/0", "8.8.8.8"],
    ["0.0.0.0/0", "2001:db8::1"],
    ["fd00::/8", "fe80::1%eth0"],
    ["2001:db8::1/128", "2001:db8::2"],
    ["0.0.0.0/0", ""],
    ["0.0.0.0/0", "not an address"],
  ])("%s does not have %s", (cidr, address) => {
    expect(allowlistOf([cidr]).has(address)).toBe(false)
  })

  it("has nothing when it is empty", () => {
    expect(allowlistOf([]).has("127.0.0.1")).toBe(false)
  })

  it.each([
    "",
    "/8",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0",
    "010.0.0.0/8",
    "0x0a.0.0.0/8",
    "fe80::1%eth0/64",
    "::/129",
    "example.org",
  ])("does not accept %j as a CIDR", (text) => {
    expect(parseCidr(text)).toBeUndefined()
  })
})

describe("cached allowlists", () => {
  it("are parsed once while their content is the same, and their number is limited", () => {
    const remembered = cachedAllowlists(2)
    const lan = remembered(["192.168.0.0/16", "fd00::/8"])
    expect(remembered(["192.168.0.0/16", "fd00::/8"])).toBe(lan)
    expect(lan.has("fd00::1")).toBe(true)
    const narrower = remembered(["192.168.0.0/16"])
    expect(narrower.has("fd00::1")).toBe(false)
    expect(remembered(["192.168.0.0/16", "fd00::/8"])).toBe(lan)
    expect(remembered([]).has("192.168.3.4")).toBe(false)
    expect(remembered(["192.168.0.0/16", "fd00::/8"])).not.toBe(lan)
  })
})

describe("loopback", () => {
  it.each(["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"])("is %s", (address) => {
    expect(isLoopback(address)).toBe(true)
  })

  it.each(["128.0.0.1", "::2", "0.0.0.0", "::", "localhost", ""])("is not %s", (address) => {
    expect(isLoopback(address)).toBe(false)
  })
})
