import { Chunk, Clock, Context, Deferred, Effect, Layer, Option, Queue, type Scope, Stream } from "effect"
import { AnswerGone, type StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import type { StreamEnd, StreamEvent, StreamGap } from "../../domain/Stream.ts"
import { tick } from "./Tick.ts"
import { Ledger, type NewMessage } from "./Ledger.ts"

/** How many runs' messages are stored in one transaction. */
const AT_ONCE = 64

/** What runs say: stored before it is shown, and the same to whoever is late as to whoever is there. */
export class EventLog extends Context.Tag("clawdforge/EventLog")<
  EventLog,
  {
    /**
     * Appends what a run says, in this order, each JSON without a line break; it is stored when this returns. What many
     * runs say meanwhile is stored in one transaction.
     */
    readonly append: (run: RunId, messages: ReadonlyArray<string>) => Effect.Effect<void, StorageFailed>
    /** To be called when the ledger has a run's end. */
    readonly ended: (run: RunId) => Effect.Effect<void>
    /**
     * A run's stream after that place (0: all of it): what there is, then what comes, without a gap or a repeat, up to
     * its end. What is gone is told as one gap. Nothing is kept for a reader who is slow: it is read as it is taken.
     */
    readonly stream: (run: RunId, after?: number) => Stream.Stream<StreamEvent | StreamGap, StorageFailed>
    /** How many bytes there are after that place. */
    readonly bytesAfter: (run: RunId, after: number) => Effect.Effect<number, StorageFailed>
    /** All messages so far. Fails when some of them are gone. */
    readonly messages: (run: RunId) => Effect.Effect<ReadonlyArray<unknown>, AnswerGone | StorageFailed>
    /** Waits for a run's end. Fails when its text is gone. */
    readonly endOf: (run: RunId) => Effect.Effect<StreamEnd, AnswerGone | StorageFailed>
  }
>() {
  static readonly layer = Layer.scoped(
    EventLog,
    Effect.gen(function* () {
      const { streams, runs } = yield* Ledger
      const waiting = yield* Queue.unbounded<Pending>()
      const readers = new Map<RunId, Set<Effect.Latch>>()

      const wake = (run: RunId) =>
        Effect.sync(() => {
          for (const more of readers.get(run) ?? []) more.unsafeOpen()
        })

      const store = (pending: ReadonlyArray<Pending>) =>
        Effect.gen(function* () {
          const stored = yield* Effect.exit(streams.append(pending.flatMap(({ messages }) => messages)))
          for (const { run, done } of pending) {
            yield* Deferred.done(done, stored)
            yield* wake(run)
          }
        })

      // One writer: what comes while it writes is written next, together.
      yield* Queue.takeBetween(waiting, 1, AT_ONCE).pipe(
        Effect.map(Chunk.toReadonlyArray),
        Effect.flatMap(store),
        Effect.zipRight(tick),
        Effect.forever,
        Effect.forkScoped,
      )

      /** Is opened whenever there is more of a run. */
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

      /** What there is after that place; what is gone of it comes first. */
      const some = (run: RunId, after: number) =>
        Effect.gen(function* () {
          const read: ReadonlyArray<StreamEvent | StreamGap> = yield* streams.read(run, after)
          // Asked afterwards: what goes while it is read is told in any case.
          const gap = yield* streams.gap(run, after)
          return Option.match(gap, {
            onNone: () => read,
            onSome: (gone) => [gone, ...read.filter(({ seq }) => seq > gone.seq)],
          })
        })

      const hasEnded = (run: RunId) =>
        Effect.map(
          runs.find(run),
          Option.match({ onNone: () => true, onSome: ({ finishedAt }) => finishedAt !== null }),
        )

      /** As {@link some}, but waits until there is something; nothing comes after the end only. */
      const next = (run: RunId, after: number, more: Effect.Latch) =>
        Effect.gen(function* () {
          for (;;) {
            yield* more.close
            const there = yield* some(run, after)
            if (there.length > 0) return there
            // Its end may have come after the look and before the question.
            if (yield* hasEnded(run)) return yield* some(run, after)
            yield* more.await
          }
        })

      return {
        append: (run, messages) =>
          Effect.gen(function* () {
            const done = yield* Deferred.make<void, StorageFailed>()
            const at = yield* Clock.currentTimeMillis
            const rows = messages.map((body) => ({ run, at, body }))
            yield* Queue.offer(waiting, { run, messages: rows, done })
            yield* Deferred.await(done)
          }).pipe(
            // Whoever gives up in between would have its run end before its last message.
            Effect.uninterruptible,
          ),

        ended: wake,

        stream: (run, start = 0) =>
          Stream.unwrapScoped(
            Effect.map(reader(run), (more) => {
              let after = start
              let isOver = false
              let taken = 0
              return Stream.repeatEffectChunkOption(
                Effect.suspend(() => {
                  if (isOver) return Effect.fail(Option.none())
                  // Who takes megabytes at once would else keep everybody from their turn.
                  const turn = taken > TURN_CHARS ? tick : Effect.void
                  return Effect.asSomeError(Effect.zipRight(turn, next(run, after, more)))
                }).pipe(
                  Effect.flatMap((there) => {
                    const last = there.at(-1)
                    if (last === undefined) return Effect.fail(Option.none())
                    after = last.seq
                    taken = sizeOf(there)
                    isOver = last.kind === "result" || last.kind === "error"
                    return Effect.succeed(Chunk.unsafeFromArray(there))
                  }),
                ),
              )
            }),
          ),

        bytesAfter: streams.bytesAfter,

        messages: (run) =>
          Effect.gen(function* () {
            const messages: Array<unknown> = []
            let after = 0
            for (;;) {
              const there = yield* some(run, after)
              const last = there.at(-1)
              if (last === undefined) return messages
              after = last.seq
              for (const event of there) {
                if (event.kind === "resync") return yield* new AnswerGone()
                if (event.kind === "message") messages.push(JSON.parse(event.body))
              }
              yield* tick
            }
          }),

        endOf: (run) =>
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
      }
    }),
  )
}

/** So much of a stream is read before others have their turn. */
const TURN_CHARS = 64 * 1024

const sizeOf = (events: ReadonlyArray<StreamEvent | StreamGap>): number =>
  events.reduce((size, event) => size + (event.kind === "resync" ? 0 : event.body.length), 0)

interface Pending {
  readonly run: RunId
  readonly messages: ReadonlyArray<NewMessage>
  readonly done: Deferred.Deferred<void, StorageFailed>
}
