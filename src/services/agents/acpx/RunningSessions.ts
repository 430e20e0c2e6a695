import { Deferred, type Duration, Effect, ExecutionStrategy, Exit, FiberHandle, FiberId, Scope } from "effect"
import type { SessionId } from "../../../domain/Ids.ts"
import type { TurnMessages } from "../acp/TurnMessages.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { Executable } from "../Processes.ts"

/** How acpx starts the agent of a session. */
export interface AgentLaunch {
  readonly executable: Executable
  /** What is added to the environment of calls of acpx that may start the agent. */
  readonly env: Readonly<Record<string, string>>
}

/** A session that may have processes: calls of acpx, its queue owner, the agent. */
export interface RunningSession {
  readonly session: AgentSession
  /** Owns every process of the session. */
  readonly scope: Scope.CloseableScope
  /** Owns the session's relay. Closed when every process of the session is gone. */
  readonly relayScope: Scope.CloseableScope
  /** How acpx starts the session's agent, once the first call has prepared it. */
  launch: AgentLaunch | undefined
  /** The newest turn. */
  turn: TurnMessages | undefined
  /** Completes when acpx has finished the newest turn, about a second after the agent has ended it. */
  settled: Effect.Effect<void>
  /** The timer that ends the session's processes when the session is idle. */
  readonly idleTimer: FiberHandle.FiberHandle
  /** Set when the processes are being ended; done when all of them are gone. */
  ending: Deferred.Deferred<void> | undefined
}

/** Sessions whose agents may be running. All their processes are gone when the scope closes. */
export const makeRunningSessions = Effect.gen(function* () {
  const all = new Map<SessionId, RunningSession>()
  /** Sessions that their agent has answered in: these have a context. Kept also while there is no process. */
  const answered = new Set<SessionId>()

  const close = (running: RunningSession, ending: Deferred.Deferred<void>) =>
    Scope.close(running.scope, Exit.void).pipe(
      Effect.zipRight(Scope.close(running.relayScope, Exit.void)),
      Effect.zipRight(Effect.sync(() => all.delete(running.session.id))),
      Effect.zipRight(Deferred.succeed(ending, undefined)),
      Effect.uninterruptible,
    )
  /** Marks the session as ending, so that nobody else uses or ends its processes. Undefined if it is marked already. */
  const markEnding = (running: RunningSession) => {
    if (running.ending !== undefined) return undefined
    running.ending = Deferred.unsafeMake<void>(FiberId.none)
    return running.ending
  }

  /** Ends all processes of a session and returns when they are gone. A running turn fails. May be called again. */
  const end = (running: RunningSession): Effect.Effect<void> =>
    Effect.zipRight(
      endInBackground(running),
      Effect.suspend(() => Deferred.await(running.ending as Deferred.Deferred<void>)),
    )
  /** Like `end`, but does not wait. For fibers of the session's own scope, which would wait for themselves. */
  const endInBackground = (running: RunningSession): Effect.Effect<void> =>
    Effect.suspend(() => {
      const ending = markEnding(running)
      return ending === undefined ? Effect.void : Effect.forkDaemon(close(running, ending))
    })

  const endAll = (matches: (running: RunningSession) => boolean): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach([...all.values()].filter(matches), end, { concurrency: "unbounded", discard: true }),
    )
  yield* Effect.addFinalizer(() => endAll(() => true))

  /**
   * Returns the running session, for a new turn. Waits until acpx has finished the turn before, and until processes that
   * are being ended are gone.
   */
  const acquire = (session: AgentSession): Effect.Effect<RunningSession> =>
    Effect.gen(function* () {
      const known = all.get(session.id)
      if (known?.ending !== undefined) {
        yield* Deferred.await(known.ending)
        return yield* acquire(session)
      }
      if (known !== undefined) {
        yield* known.settled
        if (known.ending !== undefined) return yield* acquire(session)
        yield* FiberHandle.clear(known.idleTimer)
        return known
      }
      const scope = yield* Scope.make(ExecutionStrategy.parallel)
      const idleTimer = yield* Scope.extend(FiberHandle.make(), scope)
      const made: RunningSession = {
        session,
        scope,
        relayScope: yield* Scope.make(),
        launch: undefined,
        turn: undefined,
        settled: Effect.void,
        idleTimer,
        ending: undefined,
      }
      all.set(session.id, made)
      return made
    })

  /** Ends the session's processes after that time, unless the session is acquired before. */
  const endWhenIdle = (running: RunningSession, after: Duration.Duration) =>
    // The processes are ended by a daemon fiber: the timer's own fiber is in the scope that is closed.
    FiberHandle.run(running.idleTimer, Effect.zipRight(Effect.sleep(after), Effect.forkDaemon(end(running))))

  return {
    acquire,
    find: (id: SessionId) => all.get(id),
    end,
    endInBackground,
    endAll,
    endWhenIdle,
    answered,
  }
})
export type RunningSessions = Effect.Effect.Success<typeof makeRunningSessions>
