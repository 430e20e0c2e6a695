import { Deferred, Duration, Effect, type Scope } from "effect"
import { SessionBusy } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { type FairQueue, makeFairQueue, type Place } from "../runs/FairQueue.ts"

/** A turn from its acceptance to its end, as others can reach it. */
export interface LaneTurn {
  /** Done when the turn is to end, as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
  /** Done when nothing of the turn is left. */
  readonly over: Deferred.Deferred<void>
}

/** What a session has as long as it has turns: a slot for one of them, and a queue before it. */
export interface Lane {
  /**
   * A turn of the session, and its place. Both are given up when the scope closes. Fails when as many wait as may.
   */
  readonly enter: Effect.Effect<{ readonly turn: LaneTurn; readonly place: Place }, SessionBusy, Scope.Scope>
  /** Who accepts a turn does it alone, so that turns run in the order of their indexes. */
  readonly alone: <A, E, R>(accept: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface Lanes {
  /** The session's lane, which is there until the scope closes. */
  readonly of: (session: SessionId) => Effect.Effect<Lane, never, Scope.Scope>
  /** Cancels the session's turns, at work or waiting, and says whether there were any. */
  readonly cancel: (session: SessionId) => Effect.Effect<boolean>
  /** Waits until the session has no turn. */
  readonly empty: (session: SessionId) => Effect.Effect<void>
}

interface Known extends Lane {
  users: number
  readonly turns: Set<LaneTurn>
}

export const makeLanes = (maxWaiting: number): Effect.Effect<Lanes> =>
  Effect.sync(() => {
    const lanes = new Map<SessionId, Known>()

    const turnsOf = (session: SessionId) => [...(lanes.get(session)?.turns ?? [])]

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
      cancel: (session) =>
        Effect.suspend(() => {
          const turns = turnsOf(session)
          return Effect.as(
            Effect.forEach(turns, ({ cancelled }) => Deferred.succeed(cancelled, undefined), {
              discard: true,
            }),
            turns.length > 0,
          )
        }),
      empty: (session) =>
        Effect.suspend(() =>
          Effect.forEach(turnsOf(session), ({ over }) => Deferred.await(over), { discard: true }),
        ),
    }
  })

const makeLane = (queue: FairQueue<"session">, maxWaiting: number): Known => {
  const turns = new Set<LaneTurn>()
  const door = Effect.unsafeMakeSemaphore(1)
  return {
    users: 0,
    turns,
    alone: door.withPermits(1),
    enter: Effect.gen(function* () {
      const place = yield* Effect.acquireRelease(
        Effect.mapError(queue.enter("session"), () => new SessionBusy({ limit: maxWaiting })),
        ({ leave }) => leave,
      )
      const turn = { cancelled: yield* Deferred.make<void>(), over: yield* Deferred.make<void>() }
      yield* Effect.acquireRelease(
        Effect.sync(() => turns.add(turn)),
        () =>
          Effect.zipRight(
            Effect.sync(() => turns.delete(turn)),
            Deferred.succeed(turn.over, undefined),
          ),
      )
      return { turn, place }
    }),
  }
}
