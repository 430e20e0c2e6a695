import { Deferred, type Duration, Effect, FiberId } from "effect"
import { Overloaded } from "../../domain/Failure.ts"

/** What an interval between two ends of work weighs in the mean. */
const RECENT = 0.2
/** The first guess of how long work takes, in milliseconds. */
const FIRST_GUESS_MILLIS = 10_000
const RETRY_MAX_SECS = 600

/** A place in the queue, then a slot. It must be left, on whatever way. */
export interface Place {
  /** Whether it has a slot already. */
  readonly hasSlot: () => boolean
  /** Waits for a slot. Fails when it takes too long, or when the place had to be given to another owner. */
  readonly slot: Effect.Effect<void, Overloaded>
  /** Gives up the place or the slot; again, it changes nothing. */
  readonly leave: Effect.Effect<void>
}

/**
 * Slots for work, and a bounded queue before them that is fair between owners.
 *
 * A free slot goes to the waiting owner who has the fewest slots, and among these to the one who got none for the
 * longest; one owner's places are served in order. So whoever comes first time is served by the next free slot,
 * however many places another has. A full queue is fair in the same way: who has at least two places more than the
 * newcomer's owner loses the newest.
 */
export interface FairQueue<Owner> {
  /** Takes a place at once, or fails at once. What is large takes several of the queue's places. */
  readonly enter: (owner: Owner, places?: number) => Effect.Effect<Place, Overloaded>
}

interface Waiter {
  readonly turn: Deferred.Deferred<void, Overloaded>
  readonly places: number
  state: "waiting" | "working" | "gone"
  since: number
}

interface Lane {
  working: number
  /** When it last got a slot, on a clock that counts slots. */
  lastServed: number
  readonly waiters: Array<Waiter>
  /** Of all its waiters. */
  places: number
}

export const makeFairQueue = <Owner>(options: {
  readonly slots: number
  readonly maxWaiting: number
  readonly maxWait: Duration.Duration
}): Effect.Effect<FairQueue<Owner>> =>
  Effect.clockWith((clock) =>
    Effect.sync(() => {
      const lanes = new Map<Owner, Lane>()
      let working = 0
      let queued = 0
      let waiting = 0
      let served = 0
      let meanMillis = FIRST_GUESS_MILLIS

      const laneOf = (owner: Owner): Lane => {
        const lane = lanes.get(owner) ?? { working: 0, lastServed: 0, waiters: [], places: 0 }
        lanes.set(owner, lane)
        return lane
      }

      /** In what time the slots will have worked off all that waits now. */
      const overloaded = (because: Overloaded["because"]) =>
        new Overloaded({
          because,
          retryAfterSecs: Math.min(
            RETRY_MAX_SECS,
            Math.max(1, Math.ceil(((queued + 1) * meanMillis) / options.slots / 1000)),
          ),
        })

      const serve = (lane: Lane, waiter: Waiter) => {
        waiter.state = "working"
        waiter.since = clock.unsafeCurrentTimeMillis()
        lane.working += 1
        lane.lastServed = served += 1
        working += 1
        Deferred.unsafeDone(waiter.turn, Effect.void)
      }

      const serveNext = () => {
        let next: Lane | undefined
        for (const lane of lanes.values()) {
          if (lane.waiters.length > 0 && (next === undefined || comesBefore(lane, next))) next = lane
        }
        const waiter = next?.waiters[0]
        if (next === undefined || waiter === undefined) return
        withdraw(next, waiter)
        serve(next, waiter)
      }

      const withdraw = (lane: Lane, waiter: Waiter) => {
        lane.waiters.splice(lane.waiters.indexOf(waiter), 1)
        waiter.state = "gone"
        lane.places -= waiter.places
        waiting -= waiter.places
        queued -= 1
      }

      /** Makes room in a full queue for the owner of that lane, if others have their share and more. */
      const makeRoomFor = (lane: Lane, places: number): boolean => {
        const leaving: Array<readonly [Lane, Waiter]> = []
        const left = new Map<Lane, number>()
        const rest = (one: Lane) => left.get(one) ?? one.places
        for (let room = options.maxWaiting - waiting; room < places; ) {
          let longest = lane
          for (const other of lanes.values()) if (rest(other) > rest(longest)) longest = other
          const newest = longest.waiters.at(-1 - leaving.filter(([one]) => one === longest).length)
          if (newest === undefined || rest(longest) - newest.places < rest(lane) + places) return false
          leaving.push([longest, newest])
          left.set(longest, rest(longest) - newest.places)
          room += newest.places
        }
        for (const [one, waiter] of leaving) {
          withdraw(one, waiter)
          Deferred.unsafeDone(waiter.turn, overloaded("queue_full"))
        }
        return true
      }

      /** While anybody waits, it is known whose turn it was: who comes back at once would else be served first again. */
      const forgetIdle = () => {
        if (waiting > 0) return
        for (const [owner, lane] of lanes) if (lane.working === 0) lanes.delete(owner)
      }

      const leave = (lane: Lane, waiter: Waiter) =>
        Effect.sync(() => {
          if (waiter.state === "waiting") withdraw(lane, waiter)
          if (waiter.state === "working") {
            waiter.state = "gone"
            lane.working -= 1
            working -= 1
            const took = clock.unsafeCurrentTimeMillis() - waiter.since
            meanMillis += RECENT * (took - meanMillis)
            serveNext()
          }
          forgetIdle()
        })

      const enter = (owner: Owner, places = 1) =>
        Effect.suspend(() => {
          const lane = laneOf(owner)
          const turn = Deferred.unsafeMake<void, Overloaded>(FiberId.none)
          const waiter: Waiter = { turn, places, state: "waiting", since: 0 }
          if (working < options.slots) serve(lane, waiter)
          else if (makeRoomFor(lane, places)) {
            lane.waiters.push(waiter)
            lane.places += places
            waiting += places
            queued += 1
          } else return overloaded("queue_full")
          return Effect.succeed<Place>({
            hasSlot: () => waiter.state === "working",
            slot: Effect.timeoutFail(Deferred.await(turn), {
              duration: options.maxWait,
              onTimeout: () => overloaded("waited_too_long"),
            }),
            leave: leave(lane, waiter),
          })
        })

      return { enter }
    }),
  )

const comesBefore = (left: Lane, right: Lane): boolean =>
  left.working === right.working ? left.lastServed < right.lastServed : left.working < right.working
