import { Clock, Context, Effect, Layer } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import { monotonicMillis } from "../time/Monotonic.ts"
import { type Dropped, Ledger, type Sizes, type StreamPass, TEXT_MIN_MILLIS } from "./Ledger.ts"

export type { Sizes } from "./Ledger.ts"

/** How long and how much the ledger keeps. */
export interface RetentionSettings {
  /**
   * How long the messages and the answer of a run are kept after its end, and what an agent says between turns after it
   * was said, in seconds.
   */
  readonly streamRetentionSecs: number
  /** How long the rows of a run's stream are kept, without their text, in days. */
  readonly eventRetentionDays: number
  /** How many such rows are kept at most, of all runs together. */
  readonly eventMaxRows: number
  /** How long the events of the log are kept, in days. */
  readonly auditRetentionDays: number
}

/** How many rows were removed, or lost their text. */
export interface Removed {
  /** Rows of runs' streams that lost their text, and messages of sessions' streams. */
  readonly texts: number
  readonly streamEvents: number
  readonly events: number
  readonly idempotencyKeys: number
}

/** What a call of `maintain` did. */
export interface Maintained {
  readonly removed: Removed
  readonly before: Sizes
  readonly after: Sizes
  readonly durationMs: number
}

const DAY_MILLIS = 24 * 60 * 60 * 1000

/** Bytes that the first step gives back to the disk, and the most that a step gives back. */
const SHRINK_FIRST_BYTES = 256 * 1024
const SHRINK_MAX_BYTES = 2 * 1024 * 1024
const SHRINK_MIN_BYTES = 4096
/** How long such a step should take. */
const STEP_MILLIS = 10

/** Repeats a step until nothing is left to remove, or until that monotonic time. Returns how many rows were removed. */
const repeatUntil = (step: Effect.Effect<Dropped, StorageFailed>, until: number) =>
  Effect.gen(function* () {
    let removed = 0
    for (;;) {
      const dropped = yield* step
      removed += dropped.removed
      if (dropped.done || (yield* monotonicMillis) >= until) return removed
    }
  })

/**
 * Removes what has been kept long enough: texts, streams, events and idempotency keys, each by its own rule, so that a
 * flood of one never displaces another. It works in steps of some milliseconds; other work gets its turn in between.
 */
export class Retention extends Context.Tag("clawdforge/Retention")<
  Retention,
  {
    readonly settings: RetentionSettings
    /** Removes what is due, until nothing is left or `forMillis` are over. */
    readonly trim: (options?: { readonly forMillis?: number }) => Effect.Effect<Removed, StorageFailed>
    /** Removes all that is due. With `vacuum` it also gives unused space back to the disk. */
    readonly maintain: (options: { readonly vacuum: boolean }) => Effect.Effect<Maintained, StorageFailed>
    /** Measures the ledger. */
    readonly sizes: Effect.Effect<Sizes, StorageFailed>
  }
>() {
  static readonly layer = (settings: RetentionSettings): Layer.Layer<Retention, never, Ledger> =>
    Layer.effect(
      Retention,
      Effect.gen(function* () {
        const { retention } = yield* Ledger
        const trimLock = yield* Effect.makeSemaphore(1)
        const shrinkLock = yield* Effect.makeSemaphore(1)

        const trim = Effect.fn("Retention.trim")(function* ({ forMillis = Number.POSITIVE_INFINITY } = {}) {
          const at = yield* Clock.currentTimeMillis
          const until = (yield* monotonicMillis) + forMillis
          let pass: StreamPass = {
            at,
            before: at - settings.eventRetentionDays * DAY_MILLIS,
            maxRows: settings.eventMaxRows,
            seq: 0,
          }
          const dropStreams = Effect.suspend(() =>
            Effect.tap(retention.dropStreams(pass), (dropped) => void (pass = dropped.pass)),
          )
          const saidBefore = at - Math.max(settings.streamRetentionSecs * 1000, TEXT_MIN_MILLIS)
          const oldest = at - settings.auditRetentionDays * DAY_MILLIS
          const removed = {
            texts:
              (yield* repeatUntil(retention.dropTexts(at), until)) +
              (yield* repeatUntil(retention.dropSessionMessages(saidBefore), until)),
            streamEvents: yield* repeatUntil(dropStreams, until),
            events: yield* repeatUntil(retention.dropEvents(oldest), until),
            idempotencyKeys: yield* repeatUntil(retention.dropKeys(at), until),
          }
          if (removed.texts + removed.streamEvents + removed.idempotencyKeys > 0) yield* retention.purge
          return removed
        }, trimLock.withPermits(1))

        /** Gives all unused space back to the disk, as much at a time as takes a few milliseconds. */
        const shrink = Effect.fn("Retention.shrink")(function* () {
          let bytes = SHRINK_FIRST_BYTES
          let left = Number.POSITIVE_INFINITY
          for (;;) {
            const start = yield* monotonicMillis
            const now = yield* retention.shrink(bytes)
            const took = (yield* monotonicMillis) - start
            if (now === 0 || now >= left) break
            left = now
            const fitting = (bytes * STEP_MILLIS) / Math.max(1, took)
            bytes = Math.round(Math.min(SHRINK_MAX_BYTES, Math.max(SHRINK_MIN_BYTES, fitting)))
          }
          yield* retention.purge
        }, shrinkLock.withPermits(1))

        return {
          settings,
          trim,
          maintain: (options) =>
            Effect.gen(function* () {
              const start = yield* monotonicMillis
              const before = yield* retention.sizes
              const removed = yield* trim()
              if (options.vacuum) yield* shrink()
              const after = yield* retention.sizes
              return { removed, before, after, durationMs: (yield* monotonicMillis) - start }
            }),
          sizes: retention.sizes,
        }
      }),
    )
}
