import type { Effect } from "effect"

/**
 * A reader that is given items as they come. It is called, and no fiber is woken for it: there may be hundreds of
 * readers, and thousands of items a second.
 */
export interface Consumer<A, E = never> {
  /** Takes all items. Returns false if it wants no more for now. */
  readonly take: (items: ReadonlyArray<A>) => boolean
  /** Waits until it takes more items. Fails when it will never take any. */
  readonly ready: Effect.Effect<void, E>
}
