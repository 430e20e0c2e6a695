import { type Allowlist, isLoopback, spellingOf } from "./Allowlist.ts"

/** What the socket and the headers of a request tell of where it comes from. */
export interface Peer {
  readonly address: string
  /** Its `X-Forwarded-For`: several header lines joined by commas, as HTTP has it. */
  readonly forwardedFor: string | undefined
}

/** Whom a request is from. */
export interface Client {
  /** In the one spelling that all logs, records and allowlists see; the peer's own where nobody else's is known. */
  readonly address: string
  /** On this host itself. */
  readonly local: boolean
  /** Why it cannot be said for whom the peer asks. */
  readonly unknown?: "undeclared_proxy" | "unreadable_hop"
}

/** More trusted proxies in a row than any network has; a longer row is not walked, and counts as unreadable. */
const TRUSTED_HOPS_MAX = 64

/**
 * The client behind a peer: the peer itself, unless it is a trusted proxy that forwards. Then it is the right-most hop
 * that is no trusted proxy, since what stands left of that hop is only what the client says; or, when all are trusted,
 * the left-most.
 *
 * A loopback peer that forwards and is not trusted is a proxy on this host that nobody declared: were it believed
 * to be the client, the whole network behind it would count as this host. A remote one may say what it likes.
 */
export const clientOf = (peer: Peer, trusted: Allowlist): Client => {
  const address = spellingOf(peer.address) ?? peer.address
  const onThisHost = isLoopback(address)
  const itself = { address, local: onThisHost }
  if (peer.forwardedFor === undefined) return itself
  if (!trusted.has(address)) return onThisHost ? { ...itself, unknown: "undeclared_proxy" } : itself
  const hop = nearestClient(peer.forwardedFor, trusted)
  return hop === undefined
    ? { ...itself, unknown: "unreadable_hop" }
    : // A remote proxy's loopback is that proxy's host, not this one.
      { address: hop, local: onThisHost && isLoopback(hop) }
}

/** Walks from the right and no further than it must: the rest may be thousands of hops that the client made up. */
const nearestClient = (forwardedFor: string, trusted: Allowlist): string | undefined => {
  let rest = forwardedFor
  for (let n = 0; n <= TRUSTED_HOPS_MAX; n++) {
    const comma = rest.lastIndexOf(",")
    const hop = addressIn(rest.slice(comma + 1))
    if (hop === undefined || comma === -1 || !trusted.has(hop)) return hop
    rest = rest.slice(0, comma)
  }
  return undefined
}

/** `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]`, `[::1]:567`. */
const HOP = /^(?:([\d.]{7,15})(?::\d{1,5})?|\[([\da-f:.]{2,45})\](?::\d{1,5})?|([\da-f:.]{2,45}))$/i

const addressIn = (hop: string): string | undefined => {
  const [, v4, bracketed, plain] = HOP.exec(hop.trim()) ?? []
  return spellingOf(v4 ?? bracketed ?? plain ?? "")
}
