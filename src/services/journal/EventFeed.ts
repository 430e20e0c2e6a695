import { Duration, Effect, Schedule, type Scope } from "effect"
import { type Event, type EventFilter, matching } from "../../domain/Event.ts"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import { OPERATOR } from "../../domain/Viewer.ts"
import type { Consumer } from "./Consumer.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"
import { EventRing } from "./EventRing.ts"
import type { EventRecords } from "./Ledger.ts"

/** Events that are held in memory for all followers: two thousand take a few megabytes. */
const RING_MAX = 2000
/** Events that are read at once. */
const PAGE = 256
/** The shortest pause between two notifications of followers. The events of that time are given together. */
const NOTIFY_INTERVAL = Duration.millis(50)
const RETRY = Schedule.spaced("1 second")

const ALL: EventFilter = { viewer: OPERATOR }

/**
 * Makes the one reader of the event log for all its followers, which {@link Journal} offers. It reads new events from the
 * ledger once and keeps them in a ring in memory. Only for a follower that is too far behind, the ledger is read again.
 */
export const makeEventFeed = (events: EventRecords) =>
  Effect.gen(function* () {
    /** The callbacks of the followers that have everything so far. They are called when there is more. */
    const upToDate = new Set<() => void>()
    const newestPosition = Effect.zipWith(events.newest, events.trimmedTo, Math.max)
    const ringLock = yield* Effect.makeSemaphore(1)
    const hasMore = Effect.unsafeMakeLatch()
    let ring = new EventRing(RING_MAX, yield* newestPosition)
    let followers = 0
    /** Whether events came that the ring has not seen, as nobody followed. */
    let isStale = false

    /** Starts the ring anew if nobody followed for a time. */
    const refresh = Effect.gen(function* () {
      if (!isStale) return
      const newest = yield* newestPosition
      isStale = false
      if (newest > ring.newest) ring = new EventRing(RING_MAX, newest)
    }).pipe(ringLock.withPermits(1))

    const readNew = Effect.gen(function* () {
      for (;;) {
        const found = yield* events.after(ring.newest, ALL, PAGE)
        ring.add(found)
        if (found.length < PAGE) return
      }
    }).pipe(ringLock.withPermits(1))

    yield* hasMore.await.pipe(
      Effect.zipRight(hasMore.close),
      Effect.zipRight(
        Effect.suspend(() => {
          if (followers > 0) return Effect.zipRight(refresh, readNew)
          isStale = true
          return Effect.void
        }).pipe(
          Effect.tapError((failure) =>
            Effect.annotateLogs(Effect.logWarning("events cannot be read now"), "during", failure.during),
          ),
          Effect.retry(RETRY),
        ),
      ),
      Effect.zipRight(Effect.sync(() => upToDate.forEach((notify) => notify()))),
      Effect.zipRight(Effect.suspend(() => (followers > 0 ? Effect.sleep(NOTIFY_INTERVAL) : Effect.void))),
      Effect.forever,
      Effect.forkScoped,
    )

    const followFrom = <E>(
      filter: EventFilter,
      after: number,
      { take, ready }: Consumer<Event | StreamGap, E>,
    ): Effect.Effect<never, StorageFailed | E> => {
      const passes = matching(filter)
      let seq = after

      /** Gives the follower its events from the ring. Returns false if it takes no more, or needs the ledger. */
      const deliverFromRing = (): boolean => {
        while (seq < ring.newest) {
          if (!ring.hasAllAfter(seq)) return false
          const next = ring.after(seq, PAGE)
          seq = next.at(-1)?.seq ?? seq
          const wanted = next.filter(passes)
          if (wanted.length > 0 && !take(wanted)) return false
        }
        return true
      }

      const readLedger = Effect.gen(function* () {
        const upTo = ring.newest
        const found: ReadonlyArray<Event> = yield* events.after(seq, filter, PAGE)
        // Asked afterwards: what is removed while it is read is told in any case.
        const trimmedTo = yield* events.trimmedTo
        if (trimmedTo > seq) {
          const [oldest] = yield* events.after(trimmedTo, filter, 1)
          seq = trimmedTo
          return [{ kind: "resync" as const, seq, oldest: oldest?.seq ?? null }]
        }
        const last = found.at(-1)?.seq ?? seq
        seq = found.length < PAGE ? Math.max(last, upTo) : last
        return found
      })

      /** Gives events as they come, as long as they are taken: a follower that keeps up costs a call. */
      const keepUp = Effect.async<void>((resume) => {
        const notify = () => {
          try {
            if (deliverFromRing()) return
            resume(Effect.void)
          } catch (defect) {
            // It is this follower's defect, not everybody's.
            resume(Effect.die(defect))
          }
          upToDate.delete(notify)
        }
        upToDate.add(notify)
        // Something may have come since the last read.
        notify()
        return Effect.sync(() => void upToDate.delete(notify))
      })

      return Effect.gen(function* () {
        yield* refresh
        for (;;) {
          if (seq >= ring.newest || ring.hasAllAfter(seq)) yield* keepUp
          else {
            const found: ReadonlyArray<Event | StreamGap> = yield* readLedger
            if (found.length > 0) take(found)
            // A reader that takes everything at once must not keep others from their turn.
            yield* yieldToEventLoop
          }
          yield* ready
        }
      })
    }

    return {
      newest: Effect.map(events.newest, (seq) => Math.max(seq, ring.newest)),

      follow: <E>(filter: EventFilter, after: number, consumer: Consumer<Event | StreamGap, E>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => (followers += 1)),
          () => Effect.suspend(() => followFrom(filter, after, consumer)),
          () => Effect.sync(() => (followers -= 1)),
        ),

      /** Must be called whenever the log has more. Returns at once. */
      wake: () => hasMore.unsafeOpen(),
    }
  }) satisfies Effect.Effect<unknown, StorageFailed, Scope.Scope>
