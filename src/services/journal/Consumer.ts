import type { Effect } from "effect"

/**
 * One who is given what comes. A call for each, and no fiber that has to be woken: there may be hundreds, and much may
 * come.
 */
export interface Consumer<A, E = never> {
  /** Takes what is next, always; false: and nothing after it, for now. */
  readonly take: (items: ReadonlyArray<A>) => boolean
  /** Waits until it takes more; fails when it never will. */
  readonly ready: Effect.Effect<void, E>
}
