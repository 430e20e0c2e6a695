import { Deferred, Effect } from "effect"
import type { ShuttingDown, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { RunSpec } from "../../domain/Run.ts"

/** A run between its acceptance and its recorded end. */
export interface LiveEntry {
  readonly id: RunId
  readonly owner: TokenId
  /** The session that it is a turn of. */
  readonly session: SessionId | undefined
  /** Completed when the run is to end as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
  /** Failed to end the run at once, whatever it does, with that failure. */
  readonly ended: Deferred.Deferred<never, ShuttingDown | Unauthorized>
  /** Completed when its outcome is recorded. */
  readonly over: Deferred.Deferred<void>
  startedAt: number | undefined
  /** Whether its executor was called. */
  began: boolean
}

/** The runs that are live in this process, by which others end them. */
export const makeRunRegister = Effect.sync(() => {
  const entries = new Map<RunId, LiveEntry>()
  const none = Effect.unsafeMakeLatch(true)

  return {
    enter: (spec: RunSpec): Effect.Effect<LiveEntry> =>
      Effect.gen(function* () {
        const entry: LiveEntry = {
          id: spec.id,
          owner: spec.owner,
          session: spec.kind === "turn" ? spec.sessionId : undefined,
          cancelled: yield* Deferred.make<void>(),
          ended: yield* Deferred.make<never, ShuttingDown | Unauthorized>(),
          over: yield* Deferred.make<void>(),
          startedAt: undefined,
          began: false,
        }
        entries.set(spec.id, entry)
        none.unsafeClose()
        return entry
      }),

    leave: ({ id, over }: LiveEntry) =>
      Effect.suspend(() => {
        entries.delete(id)
        if (entries.size === 0) none.unsafeOpen()
        return Deferred.succeed(over, undefined)
      }),

    /** Cancels a run, or all turns of a session, and waits until they are over. Returns false if there was none. */
    cancel: (which: RunId | SessionId) =>
      Effect.gen(function* () {
        const found = [...entries.values()].filter(({ id, session }) => id === which || session === which)
        for (const { cancelled } of found) yield* Deferred.succeed(cancelled, undefined)
        for (const { over } of found) yield* Deferred.await(over)
        return found.length > 0
      }),

    /** Ends the runs that match with that failure. Does not wait for them. */
    endAll: (matches: (run: LiveEntry) => boolean, failure: ShuttingDown | Unauthorized) =>
      Effect.suspend(() =>
        Effect.forEach([...entries.values()].filter(matches), ({ ended }) => Deferred.fail(ended, failure), {
          discard: true,
        }),
      ),

    /** Waits until there is none. */
    empty: none.await,
  }
})
