import { Deferred, type Duration, Effect, ExecutionStrategy, Exit, FiberHandle, FiberId, Scope } from "effect"
import type { SessionId } from "../../../domain/Ids.ts"
import type { AgentSession } from "../AcpxClient.ts"

/** A session whose agent may be running: what has to be ended when we let go of it. */
export interface Attachment {
  readonly session: AgentSession
  /** Holds every process of the session. */
  readonly scope: Scope.CloseableScope
  /** The newest turn: whether the agent has ended it, */
  ended: Deferred.Deferred<void> | undefined
  /** and whether acpx has, which is about a second later. */
  settled: Effect.Effect<void>
  /** Ends the session's processes when nobody has asked for a while. */
  readonly idle: FiberHandle.FiberHandle
  /** Completes when all its processes are gone, once they are being ended. */
  ending: Deferred.Deferred<void> | undefined
}

/** Sessions that we are attached to; their processes are gone when the scope closes. */
export const makeAttachments = Effect.gen(function* () {
  const all = new Map<SessionId, Attachment>()
  /** Sessions that their agent answered in: they have a context. That is true with and without processes. */
  const answered = new Set<SessionId>()

  const close = (attachment: Attachment, ending: Deferred.Deferred<void>) =>
    Scope.close(attachment.scope, Exit.void).pipe(
      Effect.zipRight(Effect.sync(() => all.delete(attachment.session.id))),
      Effect.zipRight(Deferred.succeed(ending, undefined)),
      Effect.uninterruptible,
    )
  /** From here on nobody else uses its processes, or ends them. */
  const begin = (attachment: Attachment) => {
    if (attachment.ending !== undefined) return undefined
    attachment.ending = Deferred.unsafeMake<void>(FiberId.none)
    return attachment.ending
  }

  /** Ends all processes of a session, and waits for it; a turn that is at work fails. Again is fine. */
  const end = (attachment: Attachment): Effect.Effect<void> =>
    Effect.zipRight(
      endSoon(attachment),
      Effect.suspend(() => Deferred.await(attachment.ending as Deferred.Deferred<void>)),
    )
  /** Does not wait for it: for those who are among what is ended. */
  const endSoon = (attachment: Attachment): Effect.Effect<void> =>
    Effect.suspend(() => {
      const ending = begin(attachment)
      return ending === undefined ? Effect.void : Effect.forkDaemon(close(attachment, ending))
    })

  const endAll = (which: (attachment: Attachment) => boolean): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.forEach([...all.values()].filter(which), end, { concurrency: "unbounded", discard: true }),
    )
  yield* Effect.addFinalizer(() => endAll(() => true))

  /** The session's attachment, with no turn at work; a new one if there is none that lasts. */
  const attach = (session: AgentSession): Effect.Effect<Attachment> =>
    Effect.gen(function* () {
      const known = all.get(session.id)
      if (known?.ending !== undefined) {
        yield* Deferred.await(known.ending)
        return yield* attach(session)
      }
      if (known !== undefined) {
        yield* known.settled
        if (known.ending !== undefined) return yield* attach(session)
        yield* FiberHandle.clear(known.idle)
        return known
      }
      const scope = yield* Scope.make(ExecutionStrategy.parallel)
      const idle = yield* Scope.extend(FiberHandle.make(), scope)
      const settled = Effect.void
      const made: Attachment = {
        session,
        scope,
        ended: undefined,
        settled,
        idle,
        ending: undefined,
      }
      all.set(session.id, made)
      return made
    })

  /** Ends the session's processes after that time, unless it is attached to again. */
  const endLater = (attachment: Attachment, after: Duration.Duration) =>
    // A daemon ends them: the waiting one is among what is ended.
    FiberHandle.run(attachment.idle, Effect.zipRight(Effect.sleep(after), Effect.forkDaemon(end(attachment))))
  return { attach, find: (id: SessionId) => all.get(id), end, endSoon, endAll, endLater, answered }
})
