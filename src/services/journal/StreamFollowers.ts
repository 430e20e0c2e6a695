import { Effect, type Scope } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { Consumer } from "./Consumer.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"

/** How many characters of a stream are read before other work gets its turn. */
const CHARS_BEFORE_YIELD = 64 * 1024

/** A stream that is stored and has an end: how its items are read, and how its end is seen. */
export interface StoredStream<Id, Item> {
  /** Returns the next items after that sequence number: some of them, and at least one if there is any. */
  readonly read: (id: Id, after: number) => Effect.Effect<ReadonlyArray<Item>, StorageFailed>
  /** Whether nothing more will be added to the stream. */
  readonly hasEnded: (id: Id) => Effect.Effect<boolean, StorageFailed>
  /** Whether an item is the last of its stream. */
  readonly isLast: (item: Item) => boolean
  readonly charsOf: (item: Item) => number
}

/** Makes the followers of streams of one kind. Each follower waits by itself, until its stream has more. */
export const makeStreamFollowers = <Id, Item extends { readonly seq: number }>({
  read,
  hasEnded,
  isLast,
  charsOf,
}: StoredStream<Id, Item>) => {
  const latches = new Map<Id, Set<Effect.Latch>>()

  /** Returns a latch that is opened whenever the stream has more. */
  const latchOf = (id: Id): Effect.Effect<Effect.Latch, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const more = Effect.unsafeMakeLatch()
        latches.set(id, (latches.get(id) ?? new Set()).add(more))
        return more
      }),
      (more) =>
        Effect.sync(() => {
          const others = latches.get(id)
          others?.delete(more)
          if (others?.size === 0) latches.delete(id)
        }),
    )

  /** As `read`, but waits until there is something. Returns nothing only after the end. */
  const next = (id: Id, after: number, more: Effect.Latch) =>
    Effect.gen(function* () {
      for (;;) {
        // Closed before the look: closed after it, a wake-up in between would be lost.
        yield* more.close
        const items = yield* read(id, after)
        if (items.length > 0) return items
        // The end may have come after the look and before this question.
        if (yield* hasEnded(id)) return yield* read(id, after)
        yield* more.await
      }
    })

  return {
    /** Gives a consumer the items after `start`, then those that come, up to the end of the stream. */
    follow: <E>(
      id: Id,
      start: number,
      { take, ready }: Consumer<Item, E>,
      beforeFirstRead: Effect.Effect<void, StorageFailed> = Effect.void,
    ): Effect.Effect<void, StorageFailed | E> =>
      Effect.gen(function* () {
        const more = yield* latchOf(id)
        yield* beforeFirstRead
        for (let after = start; ; ) {
          const items: ReadonlyArray<Item> = yield* next(id, after, more)
          const last = items.at(-1)
          if (last === undefined) return
          after = last.seq
          if (!take(items)) yield* ready
          if (isLast(last)) return
          // A reader that takes megabytes at once must not keep others from their turn.
          if (items.reduce((chars, item) => chars + charsOf(item), 0) > CHARS_BEFORE_YIELD) {
            yield* yieldToEventLoop
          }
        }
      }).pipe(Effect.scoped),

    /** Waits for the end of a stream. */
    ended: (id: Id): Effect.Effect<void, StorageFailed> =>
      Effect.gen(function* () {
        const more = yield* latchOf(id)
        for (;;) {
          yield* more.close
          if (yield* hasEnded(id)) return
          yield* more.await
        }
      }).pipe(Effect.scoped),

    isFollowed: (id: Id): boolean => latches.has(id),

    /** Wakes the followers of a stream: it has more. */
    wake: (id: Id) => {
      for (const more of latches.get(id) ?? []) more.unsafeOpen()
    },
  }
}
