import { Chunk, Context, Duration, Effect, Layer, Schedule, Stream } from "effect"
import type { EventFilter, LogEvent } from "../domain/Event.ts"
import type { StorageFailed } from "../domain/Failure.ts"
import type { StreamGap } from "../domain/Stream.ts"
import { EventRing, matching } from "./events/EventRing.ts"
import { Ledger } from "./Ledger.ts"

/** How many events everybody has in memory: what two thousand take is a few megabytes. */
const RING_MAX = 2000
/** Events read at once. */
const PAGE = 256
/** How long those who follow are left alone after there was something for them; what comes meanwhile, comes at once. */
const BUSY = Duration.millis(75)
const RETRY = Schedule.spaced("1 second")

/** The log of all that happens, for whoever follows it. */
export class EventFeed extends Context.Tag("clawdforge/EventFeed")<
  EventFeed,
  {
    /** Where the log is now. */
    readonly newest: Effect.Effect<number, StorageFailed>
    /**
     * What there is after that place, then what comes, without a gap or a repeat; by default what comes from now on.
     * What retention took before it could be told is told as one gap. It never ends. Nothing is kept for a reader who
     * is slow.
     */
    readonly follow: (
      filter: EventFilter,
      after?: number,
    ) => Stream.Stream<LogEvent | StreamGap, StorageFailed>
  }
>() {
  static readonly layer: Layer.Layer<EventFeed, StorageFailed, Ledger> = Layer.scoped(
    EventFeed,
    Effect.gen(function* () {
      const { events } = yield* Ledger
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
        Effect.zipRight(Effect.sync(ring.wake)),
        Effect.zipRight(Effect.sleep(BUSY)),
        Effect.forever,
        Effect.forkScoped,
      )

      const from = (filter: EventFilter, after: number) => {
        let seq = after

        const readRing = () => {
          const there = ring.after(seq, PAGE)
          seq = there.at(-1)?.seq ?? seq
          return there.filter(matching(filter))
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

        const next = Effect.gen(function* () {
          for (;;) {
            // Taken before the look: what comes in between opens it.
            const { more } = ring
            if (seq >= ring.newest) {
              yield* more.await
              continue
            }
            const there: ReadonlyArray<LogEvent | StreamGap> = ring.has(seq) ? readRing() : yield* readLedger
            if (there.length > 0) return Chunk.unsafeFromArray(there)
          }
        })
        return Stream.repeatEffectChunk(next)
      }

      return {
        newest,
        follow: (filter, after) =>
          after === undefined
            ? Stream.unwrap(Effect.map(newest, (now) => from(filter, now)))
            : Stream.suspend(() => from(filter, after)),
      }
    }),
  )
}
