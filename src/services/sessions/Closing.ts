import { Cause, Clock, Effect, Fiber, FiberSet } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { AcpxClient } from "../AcpxClient.ts"
import { Ledger } from "../Ledger.ts"
import { SessionDirs } from "../SessionDirs.ts"
import type { Lanes } from "./Lanes.ts"
import { agentSessionOf } from "./TurnWork.ts"

/** How sessions are closed: in the ledger first, so that no turn comes any more; then all that is left is let go. */
export const makeClosing = (lanes: Lanes) =>
  Effect.gen(function* () {
    const client = yield* AcpxClient
    const dirs = yield* SessionDirs
    const { sessions } = yield* Ledger
    const closings = yield* FiberSet.make<boolean, StorageFailed>()

    /** All that is left to do once the ledger has a session as closed. */
    const letGo = (session: SessionRecord) =>
      Effect.gen(function* () {
        yield* lanes.cancel(session.id)
        yield* lanes.empty(session.id)
        if (session.ref !== null) {
          yield* client.close(agentSessionOf(session, dirs.of(session.id)), session.ref)
        }
        // What stays is an orphan, which the sweeper removes.
        yield* Effect.catchAll(dirs.remove(session.id), ({ cause }) =>
          Effect.logWarning("a session's directory is not removed yet", Cause.die(cause)),
        )
      })

    /** Closes as the ledger is told to; what has begun goes on, whoever waits for it. False: it was not open. */
    const close = (session: SessionRecord, inLedger: (at: number) => Effect.Effect<boolean, StorageFailed>) =>
      Effect.gen(function* () {
        const closed = yield* inLedger(yield* Clock.currentTimeMillis)
        if (closed) yield* letGo(session)
        return closed
      }).pipe(
        Effect.interruptible,
        Effect.forkDaemon,
        Effect.tap((fiber) => FiberSet.add(closings, fiber)),
        Effect.uninterruptible,
        Effect.flatMap(Fiber.join),
      )

    return {
      close: (session: SessionRecord, origin: Origin | null) =>
        close(session, (at) => sessions.close(session.id, at, origin)),
      closeIdle: (session: SessionRecord, idleSince: number) =>
        close(session, (at) => sessions.closeIdle(session.id, idleSince, at)),
    }
  })
