import { Context, Effect } from "effect"
import { Overloaded } from "../../domain/Failure.ts"

/** When a client should retry: the time in which a large request usually arrives. */
const RETRY_AFTER_SECS = 5

/** What one request or one run has taken of the memory. */
export interface MemoryShare {
  /** Counts the share for an owner, also what it has taken so far. Only the first call counts. */
  readonly assign: (owner: string) => void
  /** Takes so many more bytes. Fails at once if fewer are left for the owner, and takes nothing then. */
  readonly take: (bytes: number) => Effect.Effect<void, Overloaded>
  /** The same for an answer, whose work is begun: it is refused only if too few bytes are left for anybody. */
  readonly takeForAnswer: (bytes: number) => Effect.Effect<void, Overloaded>
  /** Takes so many bytes, as far as possible from that share instead of what is left. */
  readonly takeFrom: (share: MemoryShare, bytes: number) => Effect.Effect<void, Overloaded>
  /** Gives back all that was taken. May be called again. */
  readonly giveBack: Effect.Effect<void>
  /** The bytes that are taken. */
  taken: number
  /** Undefined until the share is assigned. */
  readonly owner: string | undefined
}

export interface MemoryAccount {
  /** Makes a share of which nothing is taken. */
  readonly open: () => MemoryShare
}

/**
 * Makes an account of that many bytes. All shares of one owner together take at most half of them: an app that uploads
 * slowly must not keep the others out. A single share may take more, so that the largest text fits a small account.
 */
export const makeMemoryAccount = (bytes: number): MemoryAccount => {
  let left = bytes
  const takenByOwner = new Map<string, number>()

  const takenBy = (owner: string | undefined) => (owner === undefined ? 0 : (takenByOwner.get(owner) ?? 0))

  const add = (share: MemoryShare, more: number) => {
    left -= more
    share.taken += more
    addToOwner(share.owner, more)
  }
  const addToOwner = (owner: string | undefined, more: number) => {
    if (owner === undefined) return
    const taken = takenBy(owner) + more
    if (taken === 0) takenByOwner.delete(owner)
    else takenByOwner.set(owner, taken)
  }

  const open = (): MemoryShare => {
    let owner: string | undefined
    const takeFrom = (other: MemoryShare | undefined, more: number, isAnswer = false) =>
      Effect.suspend(() => {
        const moved = Math.min(other?.taken ?? 0, more)
        const ofOwner = takenBy(owner) - (other?.owner === owner ? moved : 0)
        const inOtherShares = ofOwner - share.taken
        const isTooMuch = !isAnswer && owner !== undefined && inOtherShares > 0 && ofOwner + more > bytes / 2
        if (more - moved > left || (isTooMuch && more > moved)) {
          return new Overloaded({ because: "memory", retryAfterSecs: RETRY_AFTER_SECS })
        }
        if (other !== undefined) add(other, -moved)
        add(share, more)
        return Effect.void
      })
    const share: MemoryShare = {
      taken: 0,
      get owner() {
        return owner
      },
      assign: (name) => {
        if (owner !== undefined) return
        owner = name
        addToOwner(owner, share.taken)
      },
      take: (more) => takeFrom(undefined, more),
      takeForAnswer: (more) => takeFrom(undefined, more, true),
      takeFrom: (other, more) => takeFrom(other, more),
      giveBack: Effect.sync(() => add(share, -share.taken)),
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
