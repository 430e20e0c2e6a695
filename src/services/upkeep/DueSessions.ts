import { Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import { monotonicMillis } from "../time/Monotonic.ts"

/** How many steps a sweep takes at the same time. */
export const SWEEP_CONCURRENCY = 4
/** After this time, a sweep begins no more steps of this kind, and leaves the other sessions to the next sweep. */
const PASS_MAX_MILLIS = 60_000

/** Lists the next sessions that are due, in order, after that one. Some hundreds at a time; an empty list at the end. */
export type ListDue = (
  after: SessionRecord | undefined,
) => Effect.Effect<ReadonlyArray<SessionRecord>, StorageFailed>

/**
 * Takes a step for each session that is due, `SWEEP_CONCURRENCY` at a time. Returns undefined when all are done, or the
 * last session when `PASS_MAX_MILLIS` are over. The next sweep continues after that session, so slow sessions delay the
 * others, but not for ever. Fails if the ledger cannot list the sessions.
 */
export const forEachDue = Effect.fn("Sweeper.forEachDue")(function* (
  due: ListDue,
  step: (session: SessionRecord) => Effect.Effect<void>,
  after: SessionRecord | undefined,
) {
  const end = (yield* monotonicMillis) + PASS_MAX_MILLIS
  const isOver = Effect.map(monotonicMillis, (now) => now >= end)
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
    yield* Effect.forEach(some, begin, { concurrency: SWEEP_CONCURRENCY, discard: true })
  }
})
