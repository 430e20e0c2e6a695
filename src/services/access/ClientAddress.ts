import { type Allowlist, isLoopback, canonicalAddress } from "./Allowlist.ts"

/** The other end of a request's connection, and what it forwards. */
export interface Peer {
  /** The address from the socket. */
  readonly address: string
  /** The `X-Forwarded-For` header. Several header lines are joined by commas. */
  readonly forwardedFor: string | undefined
}

/** The client that a request comes from. */
export interface Client {
  /** Its address in canonical spelling. The peer's own address when the client is not known. */
  readonly address: string
  /** Whether the client is on this host. */
  readonly local: boolean
  /** Why the client behind the peer is not known. Absent when it is known. */
  readonly unknown?: "undeclared_proxy" | "unreadable_hop"
}

/** More trusted proxies in a row than any network has. A longer row counts as unreadable. */
const TRUSTED_HOPS_MAX = 64

/**
 * The client behind a peer. It is the peer itself, unless the peer is a trusted proxy that forwards. Then it is the
 * right-most hop that is no trusted proxy, because the client itself may have written the hops to the left of it. When
 * all hops are trusted, it is the left-most.
 *
 * A loopback peer that forwards and is not trusted is a proxy on this host that was not declared. It is not taken for
 * the client: the whole network behind it would count as this host. A remote peer that is not trusted is the client,
 * and its header is ignored.
 */
export const clientOf = (peer: Peer, trusted: Allowlist): Client => {
  const address = canonicalAddress(peer.address) ?? peer.address
  const onThisHost = isLoopback(address)
  const itself = { address, local: onThisHost }
  if (peer.forwardedFor === undefined) return itself
  if (!trusted.has(address)) return onThisHost ? { ...itself, unknown: "undeclared_proxy" } : itself
  const hop = nearestClient(peer.forwardedFor, trusted)
  return hop === undefined
    ? { ...itself, unknown: "unreadable_hop" }
    : // A loopback address from a remote proxy is the proxy's host, not this one.
      { address: hop, local: onThisHost && isLoopback(hop) }
}

/** Reads hops from the right, and only as many as necessary: a client may send thousands of them. */
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
  return canonicalAddress(v4 ?? bracketed ?? plain ?? "")
}
