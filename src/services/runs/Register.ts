import { Deferred, Effect } from "effect"
import type { ShuttingDown, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"

/** A run between its acceptance and its recorded end, as others can reach it. */
export interface Entry {
  readonly id: RunId
  readonly owner: TokenId
  /** The session that it is a turn of. */
  readonly session?: SessionId | undefined
  /** Done when it is to end, as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
  /** Failing this ends the run, with that failure, wherever it is. */
  readonly ended: Deferred.Deferred<never, ShuttingDown | Unauthorized>
  /** Done when its outcome is recorded. */
  readonly over: Deferred.Deferred<void>
  startedAt: number | undefined
}

/** The runs that are live: who wants to end some finds them here. */
export const makeRegister = Effect.sync(() => {
  const entries = new Map<RunId, Entry>()
  const none = Effect.unsafeMakeLatch(true)

  return {
    enter: (run: Pick<Entry, "id" | "owner" | "session" | "cancelled">): Effect.Effect<Entry> =>
      Effect.gen(function* () {
        const ended = yield* Deferred.make<never, ShuttingDown | Unauthorized>()
        const over = yield* Deferred.make<void>()
        const { id, owner, session, cancelled } = run
        const entry = { id, owner, session, cancelled, ended, over, startedAt: undefined }
        entries.set(id, entry)
        none.unsafeClose()
        return entry
      }),

    leave: ({ id, over }: Entry) =>
      Effect.suspend(() => {
        entries.delete(id)
        if (entries.size === 0) none.unsafeOpen()
        return Deferred.succeed(over, undefined)
      }),

    /** Cancels a run, or all turns of a session, and waits until they are over; false when there was none. */
    cancel: (which: RunId | SessionId) =>
      Effect.suspend(() => {
        const found = [...entries.values()].filter(({ id, session }) => id === which || session === which)
        return Effect.forEach(found, ({ cancelled }) => Deferred.succeed(cancelled, undefined), {
          discard: true,
        }).pipe(
          Effect.zipRight(Effect.forEach(found, ({ over }) => Deferred.await(over), { discard: true })),
          Effect.as(found.length > 0),
        )
      }),

    /** Ends the runs that match, with that failure; does not wait for them. */
    endAll: (matches: (run: Entry) => boolean, failure: ShuttingDown | Unauthorized) =>
      Effect.suspend(() =>
        Effect.forEach([...entries.values()].filter(matches), ({ ended }) => Deferred.fail(ended, failure), {
          discard: true,
        }),
      ),

    /** Waits until there is none. */
    empty: none.await,
  }
})
