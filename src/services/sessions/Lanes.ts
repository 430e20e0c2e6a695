import { Duration, Effect, type Scope } from "effect"
import { SessionBusy } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { type FairQueue, makeFairQueue, type Place } from "../runs/FairQueue.ts"

/** What a session has as long as it has turns: a slot for one of them, and a queue before it. */
export interface Lane {
  /** A turn's place, which is given up when the scope closes. Fails when as many wait as may. */
  readonly enter: Effect.Effect<Place, SessionBusy, Scope.Scope>
  /**
   * Who accepts a turn does it alone, so that turns run in the order of their indexes. Until then, and no longer, he can
   * be interrupted.
   */
  readonly alone: <A, E, R>(accept: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface Lanes {
  /** The session's lane, which is there until the scope closes. */
  readonly of: (session: SessionId) => Effect.Effect<Lane, never, Scope.Scope>
}

interface Known extends Lane {
  users: number
}

export const makeLanes = (maxWaiting: number): Effect.Effect<Lanes> =>
  Effect.sync(() => {
    const lanes = new Map<SessionId, Known>()

    return {
      of: (session) =>
        Effect.gen(function* () {
          const queue = yield* makeFairQueue<"session">({
            slots: 1,
            maxWaiting,
            maxWait: Duration.infinity,
          })
          return yield* Effect.acquireRelease(
            Effect.sync(() => {
              const lane = lanes.get(session) ?? makeLane(queue, maxWaiting)
              lanes.set(session, lane)
              lane.users += 1
              return lane
            }),
            (lane) =>
              Effect.sync(() => {
                lane.users -= 1
                if (lane.users === 0) lanes.delete(session)
              }),
          )
        }),
    }
  })

const makeLane = (queue: FairQueue<"session">, maxWaiting: number): Known => {
  const door = Effect.unsafeMakeSemaphore(1)
  return {
    users: 0,
    alone: (accept) =>
      Effect.uninterruptible(
        Effect.flatMap(Effect.interruptible(door.take(1)), () => Effect.ensuring(accept, door.release(1))),
      ),
    enter: Effect.acquireRelease(
      Effect.mapError(queue.enter("session"), () => new SessionBusy({ limit: maxWaiting })),
      ({ leave }) => leave,
    ),
  }
}
