import ipaddr from "ipaddr.js"

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** A set of IPv4 and IPv6 addresses. */
export interface Allowlist {
  /** Whether an address is in the set. False for a text that is no address. */
  readonly has: (address: string) => boolean
}

/**
 * Parses a CIDR, or a single address, into an address and the number of prefix bits. Undefined for any other text. An
 * IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`, in either spelling) becomes the IPv4 network that it maps.
 */
export const parseCidr = (text: string): readonly [Address, number] | undefined => {
  const [host = "", prefix, ...rest] = text.trim().split("/")
  if (rest.length > 0 || host.includes("%") || !isAddress(host)) return undefined
  const address = ipaddr.parse(host)
  const width = address.kind() === "ipv4" ? 32 : 128
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined
  const bits = prefix === undefined ? width : Number(prefix)
  if (bits > width) return undefined
  return isIpv4Mapped(address) && bits >= 96 ? [address.toIPv4Address(), bits - 96] : [address, bits]
}

/** Makes an allowlist of CIDRs. Texts that {@link parseCidr} cannot parse are left out. */
export const allowlistOf = (cidrs: ReadonlyArray<string>): Allowlist => {
  const networks = cidrs.map(parseCidr).filter((network) => network !== undefined)
  return {
    has: (text) => {
      const address = parseAddress(text)
      return (
        address !== undefined &&
        networks.some(
          ([network, bits]) => network.kind() === address.kind() && address.match([network, bits] as never),
        )
      )
    },
  }
}

/** {@link allowlistOf} with a cache of the newest `max` lists. The key is the content of a list. */
export const cachedAllowlists = (max: number) => {
  const known = new Map<string, Allowlist>()
  return (cidrs: ReadonlyArray<string>): Allowlist => {
    const key = JSON.stringify(cidrs)
    const found = known.get(key)
    if (found !== undefined) return found
    const made = allowlistOf(cidrs)
    known.set(key, made)
    const [oldest] = known.keys()
    if (known.size > max && oldest !== undefined) known.delete(oldest)
    return made
  }
}

/** Whether an address is in 127.0.0.0/8 or is ::1, in any spelling. */
export const isLoopback = (text: string): boolean => parseAddress(text)?.range() === "loopback"

/**
 * The canonical spelling of an address from a socket or a header. An IPv4-mapped IPv6 address becomes its IPv4 address,
 * and a zone is removed. Undefined for a text that is no address.
 */
export const canonicalAddress = (text: string): string | undefined => parseAddress(text)?.toString()

/** Parses an address as sockets give it: perhaps IPv4-mapped, perhaps with a zone (`fe80::1%eth0`). */
const parseAddress = (text: string): Address | undefined => {
  const host = text.split("%")[0] ?? ""
  return isAddress(host) ? ipaddr.process(host) : undefined
}

// Stricter than ipaddr.js, which also parses historic spellings (`010.1`, `0x7f.1`). Programs read those differently.
const isAddress = (text: string): boolean =>
  ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(":") && ipaddr.IPv6.isValid(text))

const isIpv4Mapped = (address: Address): address is ipaddr.IPv6 =>
  address.kind() === "ipv6" && (address as ipaddr.IPv6).isIPv4MappedAddress()
