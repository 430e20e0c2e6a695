import { Effect, Option, type Scope } from "effect"
import { AnswerGone, type StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { isEnd, type StreamEnd, type StreamEvent, type StreamGap } from "../../domain/Stream.ts"
import type { Consumer } from "./Consumer.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"
import type { RunRecords, StreamRecords } from "./Ledger.ts"

/** How many characters of a stream are read before other work gets its turn. */
const CHARS_BEFORE_YIELD = 64 * 1024

const totalChars = (events: ReadonlyArray<StreamEvent | StreamGap>): number =>
  events.reduce((chars, event) => chars + (event.kind === "resync" ? 0 : event.body.length), 0)

/** The streams of single runs, as {@link Journal} offers them. `flush` stores the messages of a run that wait. */
export const makeRunStreams = (
  ledger: { readonly runs: RunRecords; readonly streams: StreamRecords },
  flush: (run: RunId) => Effect.Effect<void, StorageFailed>,
) => {
  const { runs, streams } = ledger
  const readers = new Map<RunId, Set<Effect.Latch>>()

  /** Returns a latch that is opened whenever the run's stream has more. */
  const reader = (run: RunId): Effect.Effect<Effect.Latch, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const more = Effect.unsafeMakeLatch()
        readers.set(run, (readers.get(run) ?? new Set()).add(more))
        return more
      }),
      (more) =>
        Effect.sync(() => {
          const others = readers.get(run)
          others?.delete(more)
          if (others?.size === 0) readers.delete(run)
        }),
    )

  const read = (run: RunId, after: number) =>
    Effect.gen(function* () {
      const events: ReadonlyArray<StreamEvent | StreamGap> = yield* streams.read(run, after)
      // Asked afterwards: what is removed while it is read is told in any case.
      const gap = yield* streams.gap(run, after)
      return Option.match(gap, {
        onNone: () => events,
        onSome: (gap) => [gap, ...events.filter(({ seq }) => seq > gap.seq)],
      })
    })

  const hasEnded = (run: RunId) =>
    Effect.map(
      runs.find(run),
      Option.match({ onNone: () => true, onSome: ({ finishedAt }) => finishedAt !== null }),
    )

  /** As `read`, but waits until there is something. Returns nothing only after the end. */
  const next = (run: RunId, after: number, more: Effect.Latch) =>
    Effect.gen(function* () {
      for (;;) {
        // Closed before the look: closed after it, a wake-up in between would be lost.
        yield* more.close
        const events = yield* read(run, after)
        if (events.length > 0) return events
        // The end may have come after the look and before this question.
        if (yield* hasEnded(run)) return yield* read(run, after)
        yield* more.await
      }
    })

  return {
    read: (run: RunId, after: number) => Effect.zipRight(flush(run), read(run, after)),

    follow: <E>(run: RunId, start: number, { take, ready }: Consumer<StreamEvent | StreamGap, E>) =>
      Effect.gen(function* () {
        const more = yield* reader(run)
        yield* flush(run)
        for (let after = start; ; ) {
          const events: ReadonlyArray<StreamEvent | StreamGap> = yield* next(run, after, more)
          const last = events.at(-1)
          if (last === undefined) return
          after = last.seq
          if (!take(events)) yield* ready
          if (isEnd(last)) return
          // A reader that takes megabytes at once must not keep others from their turn.
          if (totalChars(events) > CHARS_BEFORE_YIELD) yield* yieldToEventLoop
        }
      }).pipe(Effect.scoped),

    bytesAfter: streams.bytesAfter,

    outcome: (run: RunId): Effect.Effect<StreamEnd, AnswerGone | StorageFailed> =>
      Effect.gen(function* () {
        const more = yield* reader(run)
        for (;;) {
          yield* more.close
          if (yield* hasEnded(run)) break
          yield* more.await
        }
        return yield* Effect.flatMap(
          streams.end(run),
          Effect.mapError(() => new AnswerGone()),
        )
      }).pipe(Effect.scoped),

    isFollowed: (run: RunId): boolean => readers.has(run),

    /** Wakes the readers of a run: its stream has more. */
    wake: (run: RunId) => {
      for (const more of readers.get(run) ?? []) more.unsafeOpen()
    },
  }
}
