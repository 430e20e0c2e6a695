import { Cause, Clock, Deferred, Effect, Fiber, FiberSet, Option } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Origin.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { agentSessionOf } from "./AgentSession.ts"

/** Closes sessions: first in the ledger, so that no turn is accepted any longer; then its turns, its agent, its directory. */
export const makeClosing = Effect.gen(function* () {
  const client = yield* AcpxClient
  const dirs = yield* SessionDirs
  const engine = yield* RunEngine
  const { sessions } = yield* Ledger
  const closings = yield* FiberSet.make<boolean, StorageFailed>()
  /** Sessions that are closed in the ledger and not yet on their agent. Completed when they are. */
  const leaving = new Map<SessionId, Deferred.Deferred<void>>()

  /** Ends the turns of a session that is closed in the ledger, closes it on its agent, and removes its directory. */
  const release = (session: SessionRecord) =>
    Effect.gen(function* () {
      yield* engine.cancel(session.id)
      // Read again: a turn may have changed the agent's name for it.
      const found = yield* Effect.orElseSucceed(sessions.find(session.id), () => Option.none())
      const { ref } = Option.getOrElse(found, () => session)
      if (ref !== null) yield* client.close(agentSessionOf(session, dirs.of(session.id)), ref)
      // The sweeper removes directories that are left over.
      yield* Effect.catchAll(dirs.remove(session.id), ({ cause }) =>
        Effect.logWarning("a session's directory is not removed yet", Cause.die(cause)),
      )
    })

  /** Releases a session, and completes the deferred of those that wait for it. */
  const leave = (session: SessionRecord) =>
    Effect.acquireUseRelease(
      Effect.tap(Deferred.make<void>(), (left) => Effect.sync(() => leaving.set(session.id, left))),
      () => release(session),
      (left) =>
        Effect.zipRight(
          Effect.sync(() => leaving.delete(session.id)),
          Deferred.succeed(left, undefined),
        ),
    )

  /** Waits until a session that is closed in the ledger is released, whichever caller closed it. */
  const released = ({ id }: SessionRecord) =>
    Effect.suspend(() => {
      const leaves = leaving.get(id)
      return leaves === undefined ? Effect.void : Deferred.await(leaves)
    })

  /** Closes with that change of the ledger. It goes on when its caller is interrupted. Returns false if it was not open. */
  const close = (session: SessionRecord, inLedger: (at: number) => Effect.Effect<boolean, StorageFailed>) =>
    Effect.gen(function* () {
      const closed = yield* inLedger(yield* Clock.currentTimeMillis)
      if (closed) yield* leave(session)
      return closed
    }).pipe(
      Effect.interruptible,
      Effect.forkDaemon,
      Effect.tap((fiber) => FiberSet.add(closings, fiber)),
      Effect.uninterruptible,
      Effect.flatMap(Fiber.join),
    )

  return {
    close: (session: SessionRecord, origin: Origin) =>
      Effect.tap(
        close(session, (at) => sessions.close(session.id, at, origin)),
        released(session),
      ),
    closeIdle: (session: SessionRecord, idleSince: number) =>
      close(session, (at) => sessions.closeIdle(session.id, idleSince, at)),
    /** Whether a session is closed in the ledger and not released yet. */
    isLeaving: (id: SessionId) => leaving.has(id),
  }
})
