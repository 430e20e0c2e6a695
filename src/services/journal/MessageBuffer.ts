import { Chunk, Clock, Deferred, Duration, Effect, Queue, type Scope } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"
import type { NewMessage, StreamRecords } from "./Ledger.ts"

/** How long messages of a run that nobody follows may wait to be stored. */
const WAIT_MAX = Duration.seconds(1)
/** How many characters of messages of such a run may wait. */
const CHARS_MAX = 64 * 1024
/** Runs whose messages are stored in one transaction. */
const RUNS_AT_ONCE = 64

/**
 * Messages of runs between their append and the ledger. The messages of a run that is followed are stored at once, and
 * those of many runs together in one transaction. The messages of a run that nobody follows wait a moment: a short run's
 * are stored with its end, in the same transaction.
 */
export interface MessageBuffer {
  /** Appends messages of a run, in order. Fails with the failure of an earlier attempt to store messages of this run. */
  readonly append: (run: RunId, messages: ReadonlyArray<string>) => Effect.Effect<void, StorageFailed>
  /** Stores the messages of a run that wait, and returns when they are stored. */
  readonly flush: (run: RunId) => Effect.Effect<void, StorageFailed>
  /**
   * Calls `write` with the messages of a run that are not stored yet. `write` must store them. If it fails, they keep
   * waiting.
   */
  readonly drain: <A, E>(
    run: RunId,
    write: (unstored: ReadonlyArray<NewMessage>) => Effect.Effect<A, E>,
  ) => Effect.Effect<A, E>
}

interface Waiting {
  readonly messages: Array<NewMessage>
  chars: number
  /** The failure of the last attempt to store them, if nobody was told of it. */
  failure: StorageFailed | undefined
}

interface Flush {
  readonly run: RunId
  readonly done: Deferred.Deferred<void, StorageFailed>
}

/** Makes the buffer. `store` writes messages to the ledger in one transaction. */
export const makeMessageBuffer = (
  store: StreamRecords["append"],
  isFollowed: (run: RunId) => boolean,
): Effect.Effect<MessageBuffer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const buffers = new Map<RunId, Waiting>()
    const flushes = yield* Queue.unbounded<Flush>()
    // The messages of a run are in one transaction at a time: their order is the order of the transactions.
    const writeLock = yield* Effect.makeSemaphore(1)
    let isFlushScheduled = false

    /** Takes the messages of these runs, and puts them back if `write` fails. */
    const writing = <A, E>(
      runs: ReadonlyArray<RunId>,
      write: (messages: ReadonlyArray<NewMessage>) => Effect.Effect<A, E>,
    ): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        const taken = runs.flatMap((run) => {
          const waiting = buffers.get(run)
          buffers.delete(run)
          return waiting === undefined ? [] : [{ run, waiting }]
        })
        return Effect.onError(write(taken.flatMap(({ waiting }) => waiting.messages)), () =>
          Effect.sync(() => {
            for (const { run, waiting } of taken) {
              const later = buffers.get(run)
              buffers.set(run, {
                messages: [...waiting.messages, ...(later?.messages ?? [])],
                chars: waiting.chars + (later?.chars ?? 0),
                failure: waiting.failure,
              })
            }
          }),
        )
      }).pipe(writeLock.withPermits(1))

    const storeAll = (some: ReadonlyArray<Flush>) =>
      Effect.gen(function* () {
        const runs = [...new Set(some.map(({ run }) => run))]
        const stored = yield* Effect.exit(
          writing(runs, (messages) => (messages.length === 0 ? Effect.void : store(messages))),
        )
        for (const { done } of some) yield* Deferred.done(done, stored)
      })

    // One writer: flushes that are asked for while it writes are done next, together.
    yield* Queue.takeBetween(flushes, 1, RUNS_AT_ONCE).pipe(
      Effect.map(Chunk.toReadonlyArray),
      Effect.flatMap(storeAll),
      Effect.zipRight(yieldToEventLoop),
      Effect.forever,
      Effect.forkScoped,
    )

    const flush = (run: RunId) =>
      Effect.gen(function* () {
        if (!buffers.has(run)) yield* writeLock.withPermits(1)(Effect.void)
        // A write that failed meanwhile has put its messages back.
        if (!buffers.has(run)) return
        const done = yield* Deferred.make<void, StorageFailed>()
        yield* Queue.offer(flushes, { run, done })
        yield* Deferred.await(done)
      })

    /** Stores the messages of all runs after `WAIT_MAX`. Returns at once. A failure goes to the next `append` of the run. */
    const flushLater = Effect.suspend(() => {
      if (isFlushScheduled) return Effect.void
      isFlushScheduled = true
      return Effect.sleep(WAIT_MAX).pipe(
        Effect.zipRight(
          Effect.suspend(() => {
            isFlushScheduled = false
            return Effect.forEach(
              [...buffers.keys()],
              (run) =>
                Effect.catchAll(flush(run), (failure) =>
                  Effect.sync(() => {
                    const waiting = buffers.get(run)
                    if (waiting !== undefined) waiting.failure = failure
                  }),
                ),
              { concurrency: "unbounded", discard: true },
            )
          }),
        ),
        Effect.interruptible,
        Effect.forkIn(scope),
        Effect.asVoid,
      )
    })

    return {
      append: (run, bodies) =>
        Effect.gen(function* () {
          const at = yield* Clock.currentTimeMillis
          const waiting = buffers.get(run) ?? { messages: [], chars: 0, failure: undefined }
          buffers.set(run, waiting)
          for (const body of bodies) {
            waiting.messages.push({ run, at, body })
            waiting.chars += body.length
          }
          const { failure } = waiting
          waiting.failure = undefined
          if (failure !== undefined) return yield* failure
          if (isFollowed(run) || waiting.chars > CHARS_MAX) yield* flush(run)
          else yield* flushLater
        }).pipe(
          // A caller that gave up in between would have its run end before its last message.
          Effect.uninterruptible,
        ),
      flush,
      drain: (run, write) => writing([run], write),
    }
  })
