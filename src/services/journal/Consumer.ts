import type { Effect } from "effect"

/**
 * A reader that gets items as they come, by a call of `take`. It is a plain function and not a stream: to wake a fiber
 * for each item costs too much with hundreds of readers and thousands of items a second.
 */
export interface Consumer<A, E = never> {
  /** Takes all of these items. Returns false if it can take no more now: `ready` is awaited before the next call. */
  readonly take: (items: ReadonlyArray<A>) => boolean
  /** Waits until it takes more items. Fails when it will never take any. */
  readonly ready: Effect.Effect<void, E>
}

/** Makes a consumer that gives what `change` makes of each item to another consumer. */
export const flatMapConsumer = <A, B, E>(
  to: Consumer<B, E>,
  change: (item: A) => ReadonlyArray<B>,
): Consumer<A, E> => ({
  take: (items) => to.take(items.flatMap(change)),
  ready: to.ready,
})
