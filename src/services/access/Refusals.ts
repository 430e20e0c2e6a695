import { Cause, Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import type { Refusal } from "../../domain/Refusal.ts"
import type { Origin } from "../../domain/Origin.ts"
import { Ledger } from "../journal/Ledger.ts"

/** A refused request. */
export interface Refused extends Pick<Refusal, "code" | "reason" | "tokenId"> {
  readonly origin: Origin
}

const FLUSH_INTERVAL = Duration.seconds(1)

/** How many different refusals of one second get a row of their own. */
const ROWS_PER_SECOND_MAX = 1000
/** How many rows can wait for a ledger that fails. */
const WAITING_MAX = 10_000
/** The address in the rows that count all further refusals, by reason. */
const OTHER = "other"

/**
 * The record of refused requests: a row for each address, reason and second, so that a flood does not fill the disk.
 */
export class Refusals extends Context.Tag("clawdforge/Refusals")<
  Refusals,
  {
    /**
     * Counts a refused request. Returns without waiting for the ledger, which gets it about a second after the end of
     * its second, or when a ledger that fails works again.
     */
    readonly record: (refused: Refused) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.scoped(
    Refusals,
    Effect.gen(function* () {
      const { refusals } = yield* Ledger
      const waiting = new Map<string, Refusal>()
      /** The current second, and how many rows it has. */
      const newest = { at: 0, rows: 0 }
      /** How many rows are being written. */
      let writing = 0

      /** Adds a refusal to the row of its key. */
      const count = (key: string, refusal: Refusal) => {
        const known = waiting.get(key)
        if (known === undefined) return void waiting.set(key, refusal)
        // Rows of a failed flush come back. They are older than the rows that were added meanwhile.
        const first = known.at <= refusal.at ? known : refusal
        waiting.set(key, { ...first, count: known.count + refusal.count })
      }

      const record = ({ origin, tokenId, ...why }: Refused) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const at = now - (now % 1000)
          if (at !== newest.at) Object.assign(newest, { at, rows: 0 })
          const key = [at, why.reason, tokenId, origin.address].join(" ")
          const refusal = { ...why, at, tokenId, ...origin, count: 1 }
          if (waiting.has(key)) return count(key, refusal)
          if (newest.rows >= ROWS_PER_SECOND_MAX || waiting.size + writing >= WAITING_MAX) {
            return count(why.reason, { ...refusal, address: OTHER, tokenId: null })
          }
          newest.rows += 1
          count(key, refusal)
        })

      /**
       * Writes all refusals, except those of a second that is not over yet: it would get two rows. Those from after that
       * second are written too: the machine's date was set back. Cannot be interrupted: a stop in the middle must not lose
       * them.
       */
      const flush = (unfinished?: number) =>
        Effect.suspend(() => {
          const due = [...waiting].filter(([, { at }]) => at !== unfinished)
          if (due.length === 0) return Effect.void
          for (const [key] of due) waiting.delete(key)
          writing = due.length
          return refusals.append(due.map(([, refusal]) => refusal)).pipe(
            Effect.catchAll((failure) => {
              for (const [key, refusal] of due) count(key, refusal)
              return Effect.logWarning("refused admissions are not written yet", Cause.die(failure.cause))
            }),
            Effect.ensuring(Effect.sync(() => void (writing = 0))),
          )
        }).pipe(Effect.uninterruptible)

      yield* Effect.addFinalizer(() => flush())
      yield* Clock.currentTimeMillis.pipe(
        Effect.flatMap((now) => flush(now - (now % 1000))),
        Effect.schedule(Schedule.spaced(FLUSH_INTERVAL)),
        Effect.forkScoped,
      )

      return { record }
    }),
  )
}
