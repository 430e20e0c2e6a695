import { Clock, Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionRecord } from "../../domain/Session.ts"

/** How many things a sweep does at the same time. */
export const AT_ONCE = 4
/** How long one sweep begins with more sessions; it leaves the others to the next. */
const TIME_MAX_MS = 60_000

/** All sessions that are due: some hundreds at a time, in their order, beginning after that one. */
export type Due = (
  after: SessionRecord | undefined,
) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>

/**
 * Takes a step for each session that is due, once each, a few at a time. Returns the last one when time is over, for
 * the next sweep to go on after it: so those that take long keep the others waiting, but not for ever.
 */
export const eachDue = Effect.fn("Sweeper.eachDue")(function* (
  due: Due,
  step: (session: SessionRecord) => Effect.Effect<void>,
  after: SessionRecord | undefined,
) {
  const end = (yield* Clock.currentTimeMillis) + TIME_MAX_MS
  const isOver = Effect.map(Clock.currentTimeMillis, (now) => now >= end)
  let last = after
  const begin = (session: SessionRecord) =>
    Effect.suspend(() => {
      last = session
      return step(session)
    }).pipe(Effect.unlessEffect(isOver))
  for (;;) {
    const some: ReadonlyArray<SessionRecord> = yield* due(last)
    if (some.length === 0) return undefined
    if (yield* isOver) return last
    yield* Effect.forEach(some, begin, { concurrency: AT_ONCE, discard: true })
  }
})
