import { readFileSync } from "node:fs"
import type { Socket } from "node:net"
import { allowlistOf } from "../../services/access/Allowlist.ts"

/** Connections of all addresses together, if the process may open many more files. */
const IN_ALL_MAX = 10_000
/** The rest is for runs: the database, uploads, and a dozen files for each child process. */
const SHARE_OF_FILES = 3 / 4

export interface ConnectionLimits {
  /** Connections of one address. */
  readonly perAddress: number
  readonly inAll: number
  /** Trusted proxies, for which only the limit of all together holds: they connect for many clients. CIDRs. */
  readonly proxies: ReadonlyArray<string>
}

/**
 * Makes the function that counts a new connection, until it closes. It returns false, and counts nothing, when the
 * connection exceeds a limit.
 */
export const makeConnectionCounter = ({ perAddress, inAll, proxies }: ConnectionLimits) => {
  const counts = new Map<string, number>()
  const trusted = allowlistOf(proxies)
  let open = 0

  return (socket: Socket): boolean => {
    const address = socket.remoteAddress ?? ""
    const count = counts.get(address) ?? 0
    if (open >= inAll || (count >= perAddress && !trusted.has(address))) return false
    open += 1
    counts.set(address, count + 1)
    socket.once("close", () => {
      open -= 1
      const left = (counts.get(address) ?? 1) - 1
      if (left === 0) counts.delete(address)
      else counts.set(address, left)
    })
    return true
  }
}

/** How many connections the process can have, by the number of files that the system lets it open. */
export const connectionsOfProcess = (): number =>
  Math.min(IN_ALL_MAX, Math.floor(filesMax() * SHARE_OF_FILES))

/** Node raises the soft limit to the hard one when it starts. Infinite where the system does not tell. */
const filesMax = (): number => {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? []
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
