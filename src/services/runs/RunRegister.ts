import { Deferred, Effect } from "effect"
import type { ShuttingDown, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { RunSpec } from "../../domain/Run.ts"

/** A run from just before its acceptance until its end is recorded. */
export interface LiveEntry {
  readonly id: RunId
  readonly owner: TokenId
  /** The session of a turn. */
  readonly session: SessionId | undefined
  /** Completed when the run is to end as cancelled. */
  readonly cancelRequested: Deferred.Deferred<void>
  /** Failed when the run is to end at once, with that failure. */
  readonly endRequested: Deferred.Deferred<never, ShuttingDown | Unauthorized>
  /** Completed when its outcome is recorded. */
  readonly outcomeRecorded: Deferred.Deferred<void>
  /** When it got its slot, in milliseconds since 1970. */
  startedAt: number | undefined
  /** The same moment on the monotonic clock, in milliseconds. */
  startedMonotonic: number
  /** Whether its work has begun: it may have cost something, or changed something. */
  began: boolean
}

/** Makes the register of the runs that are live in this process. Runs are ended through it. */
export const makeRunRegister = Effect.sync(() => {
  const entries = new Map<RunId, LiveEntry>()
  /** Open while there is no live run. */
  const isEmpty = Effect.unsafeMakeLatch(true)

  return {
    /** Adds a run that is about to be accepted. */
    enter: (spec: RunSpec): Effect.Effect<LiveEntry> =>
      Effect.gen(function* () {
        const entry: LiveEntry = {
          id: spec.id,
          owner: spec.owner,
          session: spec.kind === "turn" ? spec.sessionId : undefined,
          cancelRequested: yield* Deferred.make<void>(),
          endRequested: yield* Deferred.make<never, ShuttingDown | Unauthorized>(),
          outcomeRecorded: yield* Deferred.make<void>(),
          startedAt: undefined,
          startedMonotonic: 0,
          began: false,
        }
        entries.set(spec.id, entry)
        isEmpty.unsafeClose()
        return entry
      }),

    /** Removes a run whose end is recorded, and completes `outcomeRecorded`. */
    leave: ({ id, outcomeRecorded }: LiveEntry) =>
      Effect.suspend(() => {
        entries.delete(id)
        if (entries.size === 0) isEmpty.unsafeOpen()
        return Deferred.succeed(outcomeRecorded, undefined)
      }),

    /** Cancels a run, or all turns of a session, and waits for their recorded ends. Returns false if there was none. */
    cancel: (target: RunId | SessionId) =>
      Effect.gen(function* () {
        const found = [...entries.values()].filter(({ id, session }) => id === target || session === target)
        for (const { cancelRequested } of found) yield* Deferred.succeed(cancelRequested, undefined)
        for (const { outcomeRecorded } of found) yield* Deferred.await(outcomeRecorded)
        return found.length > 0
      }),

    /** Ends the matching runs with that failure. Returns without waiting for their ends. */
    endAll: (matches: (run: LiveEntry) => boolean, failure: ShuttingDown | Unauthorized) =>
      Effect.suspend(() =>
        Effect.forEach(
          [...entries.values()].filter(matches),
          ({ endRequested }) => Deferred.fail(endRequested, failure),
          {
            discard: true,
          },
        ),
      ),

    /** Waits until there is no live run. */
    empty: isEmpty.await,
  }
})
