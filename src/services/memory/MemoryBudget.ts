import { Context, Effect } from "effect"
import { Overloaded } from "../../domain/Failure.ts"

/** When a client should retry: the time in which a large request usually arrives. */
const RETRY_AFTER_SECS = 5

/** What one request or one run has taken of the memory. */
export interface MemoryShare {
  /** Takes so many more bytes. Fails at once if fewer are left, and takes nothing then. */
  readonly take: (bytes: number) => Effect.Effect<void, Overloaded>
  /** Takes so many bytes, as far as possible from that share instead of what is left. */
  readonly takeFrom: (share: MemoryShare, bytes: number) => Effect.Effect<void, Overloaded>
  /** Gives back all that was taken. May be called again. */
  readonly giveBack: Effect.Effect<void>
  /** The bytes that are taken. */
  taken: number
}

export interface MemoryAccount {
  /** Makes a share of which nothing is taken. */
  readonly open: () => MemoryShare
}

/** Makes an account of that many bytes. */
export const makeMemoryAccount = (bytes: number): MemoryAccount => {
  let left = bytes

  const open = (): MemoryShare => {
    const takeFrom = (other: MemoryShare | undefined, more: number) =>
      Effect.suspend(() => {
        const moved = Math.min(other?.taken ?? 0, more)
        if (more - moved > left) {
          return new Overloaded({ because: "memory", retryAfterSecs: RETRY_AFTER_SECS })
        }
        if (other !== undefined) other.taken -= moved
        left -= more - moved
        share.taken += more
        return Effect.void
      })
    const share: MemoryShare = {
      taken: 0,
      take: (more) => takeFrom(undefined, more),
      takeFrom,
      giveBack: Effect.sync(() => {
        left += share.taken
        share.taken = 0
      }),
    }
    return share
  }

  return { open }
}

/**
 * The memory for the large texts that are held at the same time: bodies, the prompts of runs that wait or work, and what agents say at length. Whoever
 * holds such a text takes its size first, so that a request is refused before the process runs out of memory, which would
 * end everybody's work. By default there is no limit.
 */
export class MemoryBudget extends Context.Reference<MemoryBudget>()("clawdforge/MemoryBudget", {
  defaultValue: () => makeMemoryAccount(Number.POSITIVE_INFINITY),
}) {}

/** What the current request has taken. A run that it opens takes over what its prompt needs. */
export class RequestMemory extends Context.Reference<RequestMemory>()("clawdforge/RequestMemory", {
  defaultValue: () => makeMemoryAccount(Number.POSITIVE_INFINITY).open(),
}) {}

/** V8 needs so many bytes for a character of a text that has others than those of Latin-1. */
export const BYTES_PER_CHAR = 2

/** A text up to this length needs no memory from the budget: requests of usual size are limited by their number. */
export const FREE_CHARS = 64 * 1024
