import { Duration, Effect, RcMap, type Scope } from "effect"
import { SessionBusy } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { makeFairQueue, type Place } from "../runs/FairQueue.ts"

/** The queue of one session: one slot for a running turn, and a bounded number of places for turns that wait. */
export interface SessionQueue {
  /** Takes a place, until the scope closes. Fails with `SessionBusy` when the queue is full. */
  readonly enter: Effect.Effect<Place, SessionBusy, Scope.Scope>
  /**
   * Runs `accept` while no other turn of the session is being accepted, so that turns run in the order of their
   * indexes. The wait before `accept` can be interrupted, `accept` itself cannot.
   */
  readonly inOrder: <A, E, R>(accept: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** The queues of all sessions that have unfinished turns. */
export interface SessionQueues {
  /** Returns the session's queue. It exists as long as one of its scopes is open. */
  readonly of: (session: SessionId) => Effect.Effect<SessionQueue, never, Scope.Scope>
}

/** Makes the queues. `maxWaiting` turns can wait on one session, in addition to the one that runs. */
export const makeSessionQueues = (maxWaiting: number): Effect.Effect<SessionQueues, never, Scope.Scope> =>
  Effect.map(
    RcMap.make<SessionId, SessionQueue, never, never>({ lookup: () => makeSessionQueue(maxWaiting) }),
    (queues) => ({
      of: (session) => RcMap.get(queues, session),
    }),
  )

const makeSessionQueue = (maxWaiting: number): Effect.Effect<SessionQueue> =>
  Effect.gen(function* () {
    const queue = yield* makeFairQueue<"session">({ slots: 1, maxWaiting, maxWait: Duration.infinity })
    const acceptLock = yield* Effect.makeSemaphore(1)
    return {
      enter: Effect.acquireRelease(
        Effect.mapError(queue.enter("session"), () => new SessionBusy({ limit: maxWaiting })),
        ({ leave }) => leave,
      ),
      inOrder: (accept) =>
        Effect.uninterruptible(
          Effect.flatMap(Effect.interruptible(acceptLock.take(1)), () =>
            Effect.ensuring(accept, acceptLock.release(1)),
          ),
        ),
    }
  })
