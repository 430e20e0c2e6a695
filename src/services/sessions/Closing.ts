import { Cause, Clock, Deferred, Effect, Fiber, FiberSet, Option } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { LiveRuns } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { agentSessionOf } from "../runs/executors/Turn.ts"

/** How sessions are closed: in the ledger first, so that no turn comes any more; then all that is left is let go. */
export const makeClosing = Effect.gen(function* () {
  const client = yield* AcpxClient
  const dirs = yield* SessionDirs
  const live = yield* LiveRuns
  const { sessions } = yield* Ledger
  const closings = yield* FiberSet.make<boolean, StorageFailed>()
  /** Those that the ledger has as closed, and that are not let go of yet. */
  const leaving = new Map<SessionId, Deferred.Deferred<void>>()

  /** All that is left to do once the ledger has a session as closed. */
  const letGo = (session: SessionRecord) =>
    Effect.gen(function* () {
      yield* live.cancel(session.id)
      // Asked again: a turn may have changed what the agent calls it.
      const found = yield* Effect.orElseSucceed(sessions.find(session.id), () => Option.none())
      const { ref } = Option.getOrElse(found, () => session)
      if (ref !== null) yield* client.close(agentSessionOf(session, dirs.of(session.id)), ref)
      // What stays is an orphan, which the sweeper removes.
      yield* Effect.catchAll(dirs.remove(session.id), ({ cause }) =>
        Effect.logWarning("a session's directory is not removed yet", Cause.die(cause)),
      )
    })

  /** Lets go of it, and tells those who wait for that. */
  const leave = (session: SessionRecord) =>
    Effect.acquireUseRelease(
      Effect.tap(Deferred.make<void>(), (left) => Effect.sync(() => leaving.set(session.id, left))),
      () => letGo(session),
      (left) =>
        Effect.zipRight(
          Effect.sync(() => leaving.delete(session.id)),
          Deferred.succeed(left, undefined),
        ),
    )

  /** Waits until a session that the ledger has as closed is let go of, whoever closed it. */
  const hasLeft = ({ id }: SessionRecord) =>
    Effect.suspend(() => {
      const leaves = leaving.get(id)
      return leaves === undefined ? Effect.void : Deferred.await(leaves)
    })

  /** Closes as the ledger is told to; what has begun goes on, whoever waits for it. False: it was not open. */
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
        hasLeft(session),
      ),
    closeIdle: (session: SessionRecord, idleSince: number) =>
      close(session, (at) => sessions.closeIdle(session.id, idleSince, at)),
    /** Whether a session that the ledger has as closed is not let go of yet. */
    isLeaving: (id: SessionId) => leaving.has(id),
  }
})
