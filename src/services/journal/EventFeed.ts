import { Context, Duration, Effect, Layer, Schedule } from "effect"
import type { EventFilter, LogEvent } from "../../domain/Event.ts"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import { tick } from "./Tick.ts"
import { EventRing, matching } from "./EventRing.ts"
import type { Consumer } from "./Consumer.ts"
import { Ledger } from "./Ledger.ts"

/** How many events everybody has in memory: what two thousand take is a few megabytes. */
const RING_MAX = 2000
/** Events read at once. */
const PAGE = 256
/** How long those who follow are left alone after there was something for them; what comes meanwhile, comes at once. */
const BUSY = Duration.millis(50)
const RETRY = Schedule.spaced("1 second")

/** The log of all that happens, for whoever follows it. */
export class EventFeed extends Context.Tag("clawdforge/EventFeed")<
  EventFeed,
  {
    /** Where the log is now. */
    readonly newest: Effect.Effect<number, StorageFailed>
    /**
     * Gives what there is after that place, then what comes, without a gap or a repeat. What retention took before it
     * could be told is told as one gap. It never ends. Nothing is kept for one who is slow: it is read as it is taken.
     */
    readonly follow: <E>(
      filter: EventFilter,
      after: number,
      taker: Consumer<LogEvent | StreamGap, E>,
    ) => Effect.Effect<never, StorageFailed | E>
  }
>() {
  static readonly layer: Layer.Layer<EventFeed, StorageFailed, Ledger> = Layer.scoped(
    EventFeed,
    Effect.gen(function* () {
      const { events } = yield* Ledger
      /** Those who have all there is: each is to look whenever there is more. */
      const upToDate = new Set<() => void>()
      const ring = new EventRing(RING_MAX, Math.max(yield* events.newest, yield* events.trimmedTo))

      const newest = Effect.map(events.newest, (seq) => Math.max(seq, ring.newest))

      // One looks for everybody.
      const look = Effect.gen(function* () {
        for (;;) {
          const found = yield* events.after(ring.newest, {}, PAGE)
          ring.add(found)
          if (found.length < PAGE) return
        }
      })
      yield* events.appended.pipe(
        Effect.zipRight(
          look.pipe(
            Effect.tapError((failure) =>
              Effect.annotateLogs(Effect.logWarning("events cannot be read now"), "during", failure.during),
            ),
            Effect.retry(RETRY),
          ),
        ),
        Effect.zipRight(Effect.sync(() => upToDate.forEach((look) => look()))),
        Effect.zipRight(Effect.sleep(BUSY)),
        Effect.forever,
        Effect.forkScoped,
      )

      const follow = <E>(
        filter: EventFilter,
        after: number,
        { take, ready }: Consumer<LogEvent | StreamGap, E>,
      ): Effect.Effect<never, StorageFailed | E> => {
        const passes = matching(filter)
        let seq = after

        /** Gives what is in memory; whether there is nothing more to give. */
        const giveRing = (): boolean => {
          while (seq < ring.newest) {
            if (!ring.has(seq)) return false
            const there = ring.after(seq, PAGE)
            seq = there.at(-1)?.seq ?? seq
            const wanted = there.filter(passes)
            if (wanted.length > 0 && !take(wanted)) return false
          }
          return true
        }

        const readLedger = Effect.gen(function* () {
          const upTo = ring.newest
          const there: ReadonlyArray<LogEvent> = yield* events.after(seq, filter, PAGE)
          // Asked afterwards: what goes while it is read is told in any case.
          const trimmedTo = yield* events.trimmedTo
          if (trimmedTo > seq) {
            const [oldest] = yield* events.after(trimmedTo, filter, 1)
            seq = trimmedTo
            return [{ kind: "resync" as const, seq, oldest: oldest?.seq ?? null }]
          }
          const last = there.at(-1)?.seq ?? seq
          seq = there.length < PAGE ? Math.max(last, upTo) : last
          return there
        })

        /** Gives what comes, as long as it is taken; who keeps up costs a call. */
        const keepUp = Effect.async<void>((resume) => {
          const look = () => {
            try {
              if (giveRing()) return
              resume(Effect.void)
            } catch (defect) {
              // It is this one's, and not everybody's.
              resume(Effect.die(defect))
            }
            upToDate.delete(look)
          }
          upToDate.add(look)
          // Something may have come since it looked last.
          look()
          return Effect.sync(() => void upToDate.delete(look))
        })

        return Effect.gen(function* () {
          for (;;) {
            if (seq >= ring.newest || ring.has(seq)) yield* keepUp
            else {
              const there: ReadonlyArray<LogEvent | StreamGap> = yield* readLedger
              if (there.length > 0) take(there)
              // Who takes all there is at once would else keep everybody from their turn.
              yield* tick
            }
            yield* ready
          }
        })
      }

      return {
        newest,
        follow: (filter, after, taker) => Effect.suspend(() => follow(filter, after, taker)),
      }
    }),
  )
}
