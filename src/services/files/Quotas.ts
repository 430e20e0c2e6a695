import type { TokenId } from "../../domain/Ids.ts"

/** How much of its quota each app has taken. Bytes are taken as they arrive, so that two uploads never share the last. */
export class Quotas {
  readonly limit: number
  readonly #taken = new Map<TokenId, number>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** Takes, if that is left. */
  take(owner: TokenId, bytes: number): boolean {
    const taken = (this.#taken.get(owner) ?? 0) + bytes
    if (taken > this.limit) return false
    this.#taken.set(owner, taken)
    return true
  }

  /** What is there already counts, also beyond the limit: that may have been higher once. */
  occupy(owner: TokenId, bytes: number): void {
    this.#taken.set(owner, (this.#taken.get(owner) ?? 0) + bytes)
  }

  giveBack(owner: TokenId, bytes: number): void {
    const taken = (this.#taken.get(owner) ?? 0) - bytes
    if (taken > 0) this.#taken.set(owner, taken)
    else this.#taken.delete(owner)
  }
}

/** What a file takes of its app's quota at least: a block on the disk, and a row. */
const LEAST_BYTES = 4096

/** What a file of that size takes. */
export const charge = (size: number): number => Math.max(size, LEAST_BYTES)
