import { Cause, Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import type { Refusal } from "../../domain/Refusal.ts"
import type { Origin } from "../../domain/Token.ts"
import { Ledger } from "../journal/Ledger.ts"

/** A refused admission. */
export interface Refused extends Pick<Refusal, "code" | "reason" | "tokenId"> {
  readonly origin: Origin
}

const FLUSH_INTERVAL = Duration.seconds(1)

/** How many different refusals of one second have a row of their own. */
const ROWS_A_SECOND_MAX = 1000
/** How many rows may wait for a disk that fails. */
const WAITING_MAX = 10_000
/** The address of those that have no row of their own; of each reason, they are counted together. */
const OTHER = "other"

/** The record of who was not let in: a row an address, a reason and a second, so that a flood fills no disk. */
export class Refusals extends Context.Tag("clawdforge/Refusals")<
  Refusals,
  {
    /**
     * Counts a refused admission and waits for nothing. It is in the ledger about a second after its second is over;
     * a ledger that fails gets it later, and one that never recovers never.
     */
    readonly record: (refused: Refused) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.scoped(
    Refusals,
    Effect.gen(function* () {
      const { refusals } = yield* Ledger
      const waiting = new Map<string, Refusal>()
      const newest = { at: 0, rows: 0 }
      let writing = 0

      const count = (key: string, refusal: Refusal) => {
        const known = waiting.get(key)
        if (known === undefined) return void waiting.set(key, refusal)
        // What a flush gives back is older than what came meanwhile.
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
          if (newest.rows >= ROWS_A_SECOND_MAX || waiting.size + writing >= WAITING_MAX) {
            return count(why.reason, { ...refusal, address: OTHER, tokenId: null })
          }
          newest.rows += 1
          count(key, refusal)
        })

      /** Uninterruptible: who closes in the middle must not lose what is being written. */
      const flush = (before: number) =>
        Effect.suspend(() => {
          const over = [...waiting].filter(([, { at }]) => at < before)
          if (over.length === 0) return Effect.void
          for (const [key] of over) waiting.delete(key)
          writing = over.length
          return refusals.append(over.map(([, refusal]) => refusal)).pipe(
            Effect.catchAll((failure) => {
              for (const [key, refusal] of over) count(key, refusal)
              return Effect.logWarning("refused admissions are not written yet", Cause.die(failure.cause))
            }),
            Effect.ensuring(Effect.sync(() => void (writing = 0))),
          )
        }).pipe(Effect.uninterruptible)

      yield* Effect.addFinalizer(() => flush(Number.POSITIVE_INFINITY))
      yield* Clock.currentTimeMillis.pipe(
        // The second that is not over yet would get a second row.
        Effect.flatMap((now) => flush(now - (now % 1000))),
        Effect.schedule(Schedule.spaced(FLUSH_INTERVAL)),
        Effect.forkScoped,
      )

      return { record }
    }),
  )
}
