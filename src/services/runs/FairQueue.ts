import { Deferred, type Duration, Effect, FiberId } from "effect"
import { Overloaded } from "../../domain/Failure.ts"
import { monotonicMillisOf } from "../time/Monotonic.ts"

/** The weight of the newest duration in the moving mean. */
const NEWEST_WEIGHT = 0.2
/** The mean duration of work before any work has ended. */
const INITIAL_MEAN_MILLIS = 10_000
const RETRY_MAX_SECS = 600

/** A place in the queue, and later a slot. Its holder must call `leave` in every case, also when `slot` has failed. */
export interface Place {
  /** Whether it has a slot already. */
  readonly hasSlot: () => boolean
  /** Waits for a slot. Fails when that takes too long, or when the place was given to another owner. */
  readonly slot: Effect.Effect<void, Overloaded>
  /** Gives up the place or the slot. May be called again. */
  readonly leave: Effect.Effect<void>
}

/**
 * A fixed number of slots for work, and a bounded queue that is fair between owners.
 *
 * A free slot goes to the waiting owner with the fewest slots; among equals, to the owner that has not got one for the
 * longest time. The places of one owner are served in order. So the first place of a new owner gets the next free slot,
 * however many places others have.
 *
 * A full queue is fair in the same way: the owner with the most places loses its newest ones to a newcomer, if it still
 * has no fewer places than the newcomer's owner afterwards.
 */
export interface FairQueue<Owner> {
  /** Takes a place, or fails at once with `Overloaded`. Large work takes several `places`. */
  readonly enter: (owner: Owner, places?: number) => Effect.Effect<Place, Overloaded>
}

interface Waiter {
  /** Done when the waiter gets a slot; fails when it loses its place. */
  readonly slot: Deferred.Deferred<void, Overloaded>
  readonly places: number
  state: "waiting" | "working" | "gone"
  /** When the waiter got its slot, in milliseconds of the monotonic clock. */
  startedAt: number
}

interface OwnerQueue {
  /** The number of slots that the owner has. */
  working: number
  /** The serial number of the owner's newest slot. */
  lastServed: number
  readonly waiters: Array<Waiter>
  /** The number of places of all waiters. */
  places: number
}

/** Makes a queue. It starts no fiber, and lives as long as somebody has it. */
export const makeFairQueue = <Owner>(options: {
  readonly slots: number
  /** The number of places in the queue. */
  readonly maxWaiting: number
  /** How long a place may wait for a slot. */
  readonly maxWait: Duration.Duration
}): Effect.Effect<FairQueue<Owner>> =>
  Effect.clockWith((clock) =>
    Effect.sync(() => {
      const queues = new Map<Owner, OwnerQueue>()
      /** The number of slots that are taken. */
      let working = 0
      let waitersCount = 0
      let placesTaken = 0
      /** The number of slots that were ever given. */
      let served = 0
      let meanMillis = INITIAL_MEAN_MILLIS

      const queueOf = (owner: Owner): OwnerQueue => {
        const queue = queues.get(owner) ?? { working: 0, lastServed: 0, waiters: [], places: 0 }
        queues.set(owner, queue)
        return queue
      }

      /** The failure that tells a client to retry when the slots have probably finished all that waits now. */
      const overloaded = (because: Overloaded["because"]) =>
        new Overloaded({
          because,
          retryAfterSecs: Math.min(
            RETRY_MAX_SECS,
            Math.max(1, Math.ceil(((waitersCount + 1) * meanMillis) / options.slots / 1000)),
          ),
        })

      const serve = (queue: OwnerQueue, waiter: Waiter) => {
        waiter.state = "working"
        waiter.startedAt = monotonicMillisOf(clock)
        queue.working += 1
        queue.lastServed = served += 1
        working += 1
        Deferred.unsafeDone(waiter.slot, Effect.void)
      }

      const serveNext = () => {
        let next: OwnerQueue | undefined
        for (const queue of queues.values()) {
          if (queue.waiters.length > 0 && (next === undefined || isServedBefore(queue, next))) next = queue
        }
        const waiter = next?.waiters[0]
        if (next === undefined || waiter === undefined) return
        withdraw(next, waiter)
        serve(next, waiter)
      }

      const withdraw = (queue: OwnerQueue, waiter: Waiter) => {
        queue.waiters.splice(queue.waiters.indexOf(waiter), 1)
        waiter.state = "gone"
        queue.places -= waiter.places
        placesTaken -= waiter.places
        waitersCount -= 1
      }

      /** Makes room for `places` more of an owner. Returns false when that would be unfair to the other owners. */
      const makeRoomFor = (queue: OwnerQueue, places: number): boolean => {
        const displaced: Array<readonly [OwnerQueue, Waiter]> = []
        const reduced = new Map<OwnerQueue, number>()
        const placesLeft = (other: OwnerQueue) => reduced.get(other) ?? other.places
        for (let room = options.maxWaiting - placesTaken; room < places; ) {
          let longestQueue = queue
          for (const other of queues.values())
            if (placesLeft(other) > placesLeft(longestQueue)) longestQueue = other
          const newest = longestQueue.waiters.at(
            -1 - displaced.filter(([other]) => other === longestQueue).length,
          )
          if (newest === undefined || placesLeft(longestQueue) - newest.places < placesLeft(queue) + places)
            return false
          displaced.push([longestQueue, newest])
          reduced.set(longestQueue, placesLeft(longestQueue) - newest.places)
          room += newest.places
        }
        for (const [other, waiter] of displaced) {
          withdraw(other, waiter)
          Deferred.unsafeDone(waiter.slot, overloaded("queue_full"))
        }
        return true
      }

      /**
       * Forgets owners without work, but only while nobody waits. An owner that was forgotten too early and comes back
       * at once would count as one that has not been served for long, and be served first again.
       */
      const forgetIdle = () => {
        if (placesTaken > 0) return
        for (const [owner, queue] of queues) if (queue.working === 0) queues.delete(owner)
      }

      const leave = (queue: OwnerQueue, waiter: Waiter) =>
        Effect.sync(() => {
          if (waiter.state === "waiting") withdraw(queue, waiter)
          if (waiter.state === "working") {
            waiter.state = "gone"
            queue.working -= 1
            working -= 1
            const durationMillis = monotonicMillisOf(clock) - waiter.startedAt
            meanMillis += NEWEST_WEIGHT * (durationMillis - meanMillis)
            serveNext()
          }
          forgetIdle()
        })

      const enter = (owner: Owner, places = 1) =>
        Effect.suspend(() => {
          const queue = queueOf(owner)
          const slot = Deferred.unsafeMake<void, Overloaded>(FiberId.none)
          const waiter: Waiter = { slot, places, state: "waiting", startedAt: 0 }
          if (working < options.slots) serve(queue, waiter)
          else if (makeRoomFor(queue, places)) {
            queue.waiters.push(waiter)
            queue.places += places
            placesTaken += places
            waitersCount += 1
          } else return overloaded("queue_full")
          return Effect.succeed<Place>({
            hasSlot: () => waiter.state === "working",
            slot: Effect.timeoutFail(Deferred.await(slot), {
              duration: options.maxWait,
              onTimeout: () => overloaded("waited_too_long"),
            }),
            leave: leave(queue, waiter),
          })
        })

      return { enter }
    }),
  )

const isServedBefore = (left: OwnerQueue, right: OwnerQueue): boolean =>
  left.working === right.working ? left.lastServed < right.lastServed : left.working < right.working
