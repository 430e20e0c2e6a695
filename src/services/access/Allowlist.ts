import ipaddr from "ipaddr.js"

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** A set of addresses, IPv4 and IPv6. */
export interface Allowlist {
  readonly has: (address: string) => boolean
}

/**
 * Reads one CIDR, or one address, which stands for itself alone. An IPv4-mapped IPv6 network
 * (`::ffff:10.0.0.0/104`, in either spelling) is the IPv4 network that it maps.
 */
export const parseCidr = (text: string): readonly [Address, number] | undefined => {
  const [host = "", prefix, ...rest] = text.trim().split("/")
  if (rest.length > 0 || host.includes("%") || !isAddress(host)) return undefined
  const address = ipaddr.parse(host)
  const width = address.kind() === "ipv4" ? 32 : 128
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined
  const bits = prefix === undefined ? width : Number(prefix)
  if (bits > width) return undefined
  return isMapped(address) && bits >= 96 ? [address.toIPv4Address(), bits - 96] : [address, bits]
}

/** An allowlist of CIDRs that {@link parseCidr} can read; others are left out. */
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

/**
 * {@link allowlistOf} for lists that come again and again: the last `max` different ones are not read anew. A list is
 * known by what is in it, so a changed one is another one.
 */
export const rememberingAllowlists = (max: number) => {
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

/** 127.0.0.0/8 and ::1, however they are written. */
export const isLoopback = (text: string): boolean => parseAddress(text)?.range() === "loopback"

/**
 * The one spelling of an address, however a socket or a header writes it: an IPv4-mapped IPv6 address is its IPv4, and
 * a zone is left out. Nothing for what is no address.
 */
export const spellingOf = (text: string): string | undefined => parseAddress(text)?.toString()

/** A peer's address as the socket tells it: perhaps IPv4-mapped, perhaps with a zone (`fe80::1%eth0`). */
const parseAddress = (text: string): Address | undefined => {
  const host = text.split("%")[0] ?? ""
  return isAddress(host) ? ipaddr.process(host) : undefined
}

// ipaddr.js also reads historic spellings (`010.1`, `0x7f.1`); an allowlist must not guess.
const isAddress = (text: string): boolean =>
  ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(":") && ipaddr.IPv6.isValid(text))

const isMapped = (address: Address): address is ipaddr.IPv6 =>
  address.kind() === "ipv6" && (address as ipaddr.IPv6).isIPv4MappedAddress()
