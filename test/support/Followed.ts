import { Data, Effect } from "effect"
import type { Event } from "../../src/domain/Event.ts"
import type { RunId } from "../../src/domain/Ids.ts"
import type { StreamEvent, StreamGap } from "../../src/domain/Stream.ts"
import type { EventFilter } from "../../src/domain/Event.ts"
import { Journal, type JournalScope, logScope, runScope } from "../../src/services/journal/Journal.ts"

/** Ends a follower that has enough items. */
class Enough extends Data.TaggedError("Enough") {}

/**
 * Follows a scope of the journal and returns the items as a list: up to the scope's end, or the first `count` of them.
 * A page may bring more than `count`; the rest is cut off.
 */
const followed = <A>(scope: JournalScope, after: number, count: number) =>
  Effect.flatMap(Journal, ({ follow }) => {
    const items: Array<A> = []
    const take = (more: ReadonlyArray<unknown>) => {
      items.push(...(more as ReadonlyArray<A>))
      return items.length < count
    }
    const ready = Effect.suspend(() => (items.length < count ? Effect.void : new Enough()))
    return follow(scope, after, { take, ready }).pipe(
      Effect.catchTag("Enough", () => Effect.void),
      Effect.map(() => items.slice(0, count)),
    )
  })

/** Returns everything of a run's stream after a place, up to its end. */
export const streamOf = (run: RunId, after = 0) =>
  followed<StreamEvent | StreamGap>(runScope(run), after, Number.POSITIVE_INFINITY)

/** Returns the first items of the log after a place. Waits until there are as many. */
export const firstOf = (filter: EventFilter, after: number, count: number) =>
  followed<Event | StreamGap>(logScope(filter), after, count)
