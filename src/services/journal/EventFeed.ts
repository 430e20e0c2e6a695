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
/** How long followers wait for more after they were told something. Events of that time come together. */
const TOLD_INTERVAL = Duration.millis(50)
const RETRY = Schedule.spaced("1 second")

const ALL: EventFilter = { viewer: OPERATOR }

/** The followers of the log, as {@link Journal} offers them. One reads the ledger for all of them. */
export const makeEventFeed = (events: EventRecords) =>
  Effect.gen(function* () {
    /** Called when there is more, for the followers that have everything so far. */
    const upToDate = new Set<() => void>()
    const place = Effect.zipWith(events.newest, events.trimmedTo, Math.max)
    const oneLooks = yield* Effect.makeSemaphore(1)
    const news = Effect.unsafeMakeLatch()
    let ring = new EventRing(RING_MAX, yield* place)
    let followers = 0
    /** Whether events came that the ring has not seen, as nobody followed. */
    let isStale = false

    /** Starts the ring anew if nobody followed for a time. */
    const refresh = Effect.gen(function* () {
      if (!isStale) return
      const newest = yield* place
      isStale = false
      if (newest > ring.newest) ring = new EventRing(RING_MAX, newest)
    }).pipe(oneLooks.withPermits(1))

    const look = Effect.gen(function* () {
      for (;;) {
        const found = yield* events.after(ring.newest, ALL, PAGE)
        ring.add(found)
        if (found.length < PAGE) return
      }
    }).pipe(oneLooks.withPermits(1))

    yield* news.await.pipe(
      Effect.zipRight(news.close),
      Effect.zipRight(
        Effect.suspend(() => {
          if (followers > 0) return Effect.zipRight(refresh, look)
          isStale = true
          return Effect.void
        }).pipe(
          Effect.tapError((failure) =>
            Effect.annotateLogs(Effect.logWarning("events cannot be read now"), "during", failure.during),
          ),
          Effect.retry(RETRY),
        ),
      ),
      Effect.zipRight(Effect.sync(() => upToDate.forEach((tell) => tell()))),
      Effect.zipRight(Effect.suspend(() => (followers > 0 ? Effect.sleep(TOLD_INTERVAL) : Effect.void))),
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

      /** Gives what is in memory. Returns whether there is nothing more to give. */
      const giveRing = (): boolean => {
        while (seq < ring.newest) {
          if (!ring.has(seq)) return false
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
        const tell = () => {
          try {
            if (giveRing()) return
            resume(Effect.void)
          } catch (defect) {
            // It is this follower's defect, not everybody's.
            resume(Effect.die(defect))
          }
          upToDate.delete(tell)
        }
        upToDate.add(tell)
        // Something may have come since the last look.
        tell()
        return Effect.sync(() => void upToDate.delete(tell))
      })

      return Effect.gen(function* () {
        yield* refresh
        for (;;) {
          if (seq >= ring.newest || ring.has(seq)) yield* keepUp
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

      /** Tells that the log has more. */
      wake: () => news.unsafeOpen(),
    }
  }) satisfies Effect.Effect<unknown, StorageFailed, Scope.Scope>
