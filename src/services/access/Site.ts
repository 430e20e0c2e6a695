import { canonicalAddress } from "./Allowlist.ts"

/**
 * Which web page a request comes from, and under which host name it reaches the service. A browser lets any page send
 * requests to this network, and lets a page whose name resolves to this service (DNS rebinding) also read the answers.
 */

/** What a request says about its page and its host. */
export interface SiteHeaders {
  /** The `Host`, or the authority of an absolute target. Programs other than browsers may send none. */
  readonly host: string | undefined
  /** The page that sends the request. Only browsers send it, and pages cannot change it. */
  readonly origin: string | undefined
  /** The host and the scheme that a proxy was asked for. Absent unless the peer is a trusted proxy. */
  readonly forwardedHost: string | undefined
  readonly forwardedProto: string | undefined
}

/** The judgement of a request's headers. */
export interface Site {
  /** The page of another origin that may read the answer. Absent for the service's own pages and for programs. */
  readonly crossOrigin?: string
  /** Why the request is refused. Absent when it is not. `host_unreadable`: no host, or several, in one `Host`. */
  readonly refused?: "origin" | "host" | "host_unreadable"
}

export interface SiteSettings {
  /** Origins whose pages may use the service, as browsers write them. */
  readonly corsOrigins?: ReadonlyArray<string>
  /** Host names of the service, beside those that nobody else can have; `*` for any name. */
  readonly allowedHosts?: ReadonlyArray<string>
}

/** Endings of names that cannot be registered for a host elsewhere. */
const PRIVATE_ENDINGS = [".local", ".lan", ".internal", ".home.arpa", ".localhost"]

/** A name or an address, perhaps with a port. The URL parser alone would also take a path, a user and escapes. */
const AUTHORITY = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i

/** Returns the function that judges the headers of a request. */
export const siteJudge = ({ corsOrigins = [], allowedHosts = [] }: SiteSettings) => {
  const origins = new Set(corsOrigins)
  const ownNames = new Set(allowedHosts.map(withoutFinalDot))
  const isAllowed = (name: string): boolean =>
    ownNames.has("*") ||
    ownNames.has(name) ||
    isAddress(name) ||
    /^[^.]+$/.test(name) ||
    PRIVATE_ENDINGS.some((ending) => name.endsWith(ending))

  return ({ host, origin, forwardedHost, forwardedProto }: SiteHeaders): Site => {
    const hosts = [host, lastOf(forwardedHost)].filter(isNonEmpty)
    const names = hosts.map(nameOf)
    if (!names.every(isNonEmpty)) return { refused: "host_unreadable" }
    // Each of them: a page that comes by DNS rebinding can make up the forwarded one, but not the other.
    if (!names.every(isAllowed)) return { refused: "host" }
    if (origin === undefined) return {}
    const isOwn = hosts.some((host) => isOriginOf(origin, host, lastOf(forwardedProto)))
    if (isOwn) return {}
    return origins.has(origin) ? { crossOrigin: origin } : { refused: "origin" }
  }
}

const isNonEmpty = (text: string | undefined): text is string => text !== undefined && text !== ""

/** The entry that the nearest proxy wrote. */
const lastOf = (list: string | undefined): string | undefined => list?.split(",").at(-1)?.trim().toLowerCase()

const withoutFinalDot = (name: string): string => name.replace(/\.$/, "").toLowerCase()

/** The name or address in an authority, in the URL parser's spelling. Undefined if there is none. */
const nameOf = (authority: string): string | undefined =>
  AUTHORITY.test(authority) && URL.canParse(`http://${authority}`)
    ? withoutFinalDot(new URL(`http://${authority}`).hostname)
    : undefined

const isAddress = (name: string): boolean => canonicalAddress(name.replace(/^\[(.*)\]$/, "$1")) !== undefined

/**
 * Whether a page's origin is that host. The scheme must be the forwarded one, if a trusted proxy says it. Without one,
 * either scheme will do: the proxy in front may speak TLS.
 */
const isOriginOf = (origin: string, host: string, proto: string | undefined): boolean => {
  const [, scheme] = /^(https?):\/\//.exec(origin) ?? []
  if (scheme === undefined || (proto !== undefined && proto !== scheme)) return false
  return new URL(`${scheme}://${host}`).origin === origin
}
