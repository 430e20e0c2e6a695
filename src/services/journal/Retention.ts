import { Clock, Context, Effect, Layer } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import { Ledger, type Dropped, type Sizes, type StreamPass } from "./Ledger.ts"

/** How long things are kept. */
export interface RetentionSettings {
  /** What a run said, after its end. */
  readonly streamRetentionSecs: number
  /** The rows of what it said. */
  readonly eventRetentionDays: number
  /** How many of these rows there may be. */
  readonly eventMaxRows: number
  /** Events. */
  readonly auditRetentionDays: number
}

/** How many rows went, or lost their text. */
export interface Removed {
  /** Of streams, that lost their text. */
  readonly texts: number
  readonly streamEvents: number
  readonly events: number
  readonly idempotencyKeys: number
}

export interface Maintained {
  readonly removed: Removed
  readonly before: Sizes
  readonly after: Sizes
  readonly durationMs: number
}

const DAY_MILLIS = 24 * 60 * 60 * 1000

/** So many pages are given back in the first step, and so many at most. */
const PAGES_FIRST = 64
const PAGES_MAX = 512
/** What such a step should take. */
const STEP_MILLIS = 10

/** Takes steps until there is nothing left, or time is over. */
const all = (step: Effect.Effect<Dropped, StorageFailed>, until: number) =>
  Effect.gen(function* () {
    let removed = 0
    for (;;) {
      const dropped = yield* step
      removed += dropped.removed
      if (dropped.done || (yield* Clock.currentTimeMillis) >= until) return removed
    }
  })

/**
 * Removes what is kept no longer: texts, streams, events and idempotency keys, each by its own rule, so that a flood
 * of the one never takes the place of another. It goes in steps of some milliseconds; between them others have their
 * turn.
 */
export class Retention extends Context.Tag("clawdforge/Retention")<
  Retention,
  {
    readonly settings: RetentionSettings
    /** Removes what is due, until there is no more, or `forMillis` are over. */
    readonly trim: (options?: { readonly forMillis?: number }) => Effect.Effect<Removed, StorageFailed>
    /** Removes all that is due and, if asked, gives the space of it back to the disk. */
    readonly maintain: (options: { readonly vacuum: boolean }) => Effect.Effect<Maintained, StorageFailed>
  }
>() {
  static readonly layer = (settings: RetentionSettings): Layer.Layer<Retention, never, Ledger> =>
    Layer.effect(
      Retention,
      Effect.gen(function* () {
        const { retention } = yield* Ledger
        const oneTrims = yield* Effect.makeSemaphore(1)
        const oneVacuums = yield* Effect.makeSemaphore(1)

        const trim = Effect.fn("Retention.trim")(function* ({ forMillis = Number.POSITIVE_INFINITY } = {}) {
          const at = yield* Clock.currentTimeMillis
          const until = at + forMillis
          let pass: StreamPass = {
            at,
            before: at - settings.eventRetentionDays * DAY_MILLIS,
            maxRows: settings.eventMaxRows,
            seq: 0,
          }
          const dropStreams = Effect.suspend(() =>
            Effect.tap(retention.dropStreams(pass), (dropped) => void (pass = dropped.pass)),
          )
          const removed = {
            texts: yield* all(retention.dropTexts(at), until),
            streamEvents: yield* all(dropStreams, until),
            events: yield* all(retention.dropEvents(at - settings.auditRetentionDays * DAY_MILLIS), until),
            idempotencyKeys: yield* all(retention.dropKeys(at), until),
          }
          // The journal still has what is gone from the tables.
          if (removed.texts + removed.streamEvents + removed.idempotencyKeys > 0) yield* retention.checkpoint
          return removed
        }, oneTrims.withPermits(1))

        /** Gives back all there is to give back, as many pages at a time as take a few milliseconds. */
        const vacuum = Effect.fn("Retention.vacuum")(function* () {
          let pages = PAGES_FIRST
          let left = Number.POSITIVE_INFINITY
          for (;;) {
            const start = yield* Clock.currentTimeMillis
            const now = yield* retention.vacuum(pages)
            const took = (yield* Clock.currentTimeMillis) - start
            if (now === 0 || now >= left) break
            left = now
            pages = Math.round(Math.min(PAGES_MAX, Math.max(1, (pages * STEP_MILLIS) / Math.max(1, took))))
          }
          yield* retention.checkpoint
        }, oneVacuums.withPermits(1))

        return {
          settings,
          trim,
          maintain: (options) =>
            Effect.gen(function* () {
              const start = yield* Clock.currentTimeMillis
              const before = yield* retention.sizes
              const removed = yield* trim()
              if (options.vacuum) yield* vacuum()
              const after = yield* retention.sizes
              return { removed, before, after, durationMs: (yield* Clock.currentTimeMillis) - start }
            }),
        }
      }),
    )
}
