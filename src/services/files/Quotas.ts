import type { TokenId } from "../../domain/Ids.ts"

/**
 * How many bytes of its quota each app has taken. Uploads take bytes as they arrive, so that two uploads cannot both use
 * the last ones.
 */
export class Quotas {
  readonly limit: number
  readonly #taken = new Map<TokenId, number>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** Takes bytes if the quota has that many left. Returns false, and takes nothing, if it has not. */
  take(owner: TokenId, bytes: number): boolean {
    const taken = (this.#taken.get(owner) ?? 0) + bytes
    if (taken > this.limit) return false
    this.#taken.set(owner, taken)
    return true
  }

  /** Counts bytes that are stored already, even beyond the limit: the limit may have been higher before. */
  occupy(owner: TokenId, bytes: number): void {
    this.#taken.set(owner, (this.#taken.get(owner) ?? 0) + bytes)
  }

  /** Gives back bytes that were taken or occupied. */
  giveBack(owner: TokenId, bytes: number): void {
    const taken = (this.#taken.get(owner) ?? 0) - bytes
    if (taken > 0) this.#taken.set(owner, taken)
    else this.#taken.delete(owner)
  }
}

/** The least that a file counts: even an empty one takes a row, and a block on the disk. */
const CHARGE_MIN_BYTES = 4096

/** How many bytes of the quota a file of that size takes. */
export const charge = (size: number): number => Math.max(size, CHARGE_MIN_BYTES)
