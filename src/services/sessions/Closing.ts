import { Cause, Clock, Deferred, Effect, Fiber, FiberSet, Option } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Origin.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import type { AgentCosts } from "./AgentCosts.ts"
import { agentSessionOf } from "./AgentSession.ts"

/**
 * Makes the closing of sessions. A session is closed in the ledger first, so that no further turn is accepted. Then its
 * release ends its turns, closes it on its agent and removes its directory.
 */
export const makeClosing = Effect.fn("SessionPool.makeClosing")(function* (costs: AgentCosts) {
  const client = yield* AcpxClient
  const dirs = yield* SessionDirs
  const engine = yield* RunEngine
  const { sessions } = yield* Ledger
  const closeFibers = yield* FiberSet.make<boolean, StorageFailed>()
  /** The sessions that are being released. Each deferred is completed when the release is over. */
  const releases = new Map<SessionId, Deferred.Deferred<void>>()

  /** Ends the turns of a session that is closed in the ledger, closes it on its agent, and removes its directory. */
  const release = (session: SessionRecord) =>
    Effect.gen(function* () {
      yield* engine.cancel(session.id)
      costs.forget(session.id)
      // Read again: a turn may have changed the agent's name for the session.
      const latest = yield* Effect.orElseSucceed(sessions.find(session.id), () => Option.none())
      const { ref } = Option.getOrElse(latest, () => session)
      if (ref !== null) yield* client.close(agentSessionOf(session, dirs.of(session.id)), ref)
      // The sweeper removes the directory later.
      yield* Effect.catchAll(dirs.remove(session.id), ({ cause }) =>
        Effect.logWarning("a session's directory is not removed yet", Cause.die(cause)),
      )
    })

  /** Releases a session. Until it returns, `awaitRelease` waits and `isReleasing` is true. */
  const trackRelease = (session: SessionRecord) =>
    Effect.acquireUseRelease(
      Effect.tap(Deferred.make<void>(), (over) => Effect.sync(() => releases.set(session.id, over))),
      () => release(session),
      (over) =>
        Effect.zipRight(
          Effect.sync(() => releases.delete(session.id)),
          Deferred.succeed(over, undefined),
        ),
    )

  /** Waits until the release of a session is over, whichever caller closed it. Returns at once if there is none. */
  const awaitRelease = ({ id }: SessionRecord) =>
    Effect.suspend(() => {
      const over = releases.get(id)
      return over === undefined ? Effect.void : Deferred.await(over)
    })

  /**
   * Closes a session by a change of the ledger, and releases it. Goes on when its caller is interrupted. Returns false
   * if the session was not open.
   */
  const close = (
    session: SessionRecord,
    closeInLedger: (at: number) => Effect.Effect<boolean, StorageFailed>,
  ) =>
    Effect.gen(function* () {
      const closed = yield* closeInLedger(yield* Clock.currentTimeMillis)
      if (closed) yield* trackRelease(session)
      return closed
    }).pipe(
      Effect.interruptible,
      Effect.forkDaemon,
      Effect.tap((fiber) => FiberSet.add(closeFibers, fiber)),
      Effect.uninterruptible,
      Effect.flatMap(Fiber.join),
    )

  return {
    /**
     * Closes a session, and waits for its release, also if another caller closed it. Returns false if it was not open.
     */
    close: (session: SessionRecord, origin: Origin) =>
      Effect.tap(
        close(session, (at) => sessions.close(session.id, at, origin)),
        awaitRelease(session),
      ),
    /** Closes a session that has been idle since `idleSince`, and releases it. Returns false if it was not. */
    closeIdle: (session: SessionRecord, idleSince: number) =>
      close(session, (at) => sessions.closeIdle(session.id, idleSince, at)),
    /** Whether a session is closed in the ledger and not released yet. */
    isReleasing: (id: SessionId) => releases.has(id),
  }
})
