import { Cause, Effect, Exit, Stream } from "effect"

/** Turns effects into Promises, and streams into async iterators. */

/** Options of every call. */
export interface CallOptions {
  /** Aborts the request; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Runs the effect. Rejects with its failure, or with the signal's reason if the signal interrupted it. */
export const settle = async <A, E>(effect: Effect.Effect<A, E>, { signal }: CallOptions = {}): Promise<A> => {
  signal?.throwIfAborted()
  const exit = await Effect.runPromiseExit(effect, signal === undefined ? {} : { signal })
  if (Exit.isSuccess(exit)) return exit.value
  if (signal?.aborted === true && Cause.isInterrupted(exit.cause)) throw signal.reason
  throw Cause.squash(exit.cause)
}

const DONE = { done: true, value: undefined } as const

/** How a stream ended. */
interface Outcome {
  readonly failed: boolean
  /** Why it failed. */
  readonly reason?: unknown
}

/**
 * The events of a stream, for one `for await`. Starts with the first `next`. Ends by itself, with `break`, or with the
 * signal; with the signal it rejects with the signal's reason.
 */
export class Events<A> implements AsyncIterableIterator<A> {
  readonly #inner: AsyncIterator<A>
  readonly #removeListener: () => void
  #pending:
    | { readonly resolve: (end: typeof DONE) => void; readonly reject: (reason: unknown) => void }
    | undefined
  #last: Promise<unknown> = Promise.resolve()
  #outcome: Outcome | undefined

  constructor(stream: Stream.Stream<A, unknown>, { signal }: CallOptions = {}) {
    this.#inner = Stream.toAsyncIterable(stream)[Symbol.asyncIterator]()
    const abort = () => {
      this.#end({ failed: true, reason: signal?.reason })
      void this.#inner.return?.()
    }
    this.#removeListener = () => signal?.removeEventListener("abort", abort)
    if (signal?.aborted === true) this.#outcome = { failed: true, reason: signal.reason }
    else signal?.addEventListener("abort", abort, { once: true })
  }

  next(): Promise<IteratorResult<A>> {
    const result = this.#last.then(() => this.#next())
    this.#last = result.catch(() => undefined)
    return result
  }

  async return(): Promise<IteratorResult<A>> {
    this.#end({ failed: false })
    await this.#inner.return?.()
    return DONE
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #next(): Promise<IteratorResult<A>> {
    const outcome = this.#outcome
    if (outcome !== undefined) {
      // A failure is reported once; after it, `next` answers that the stream is done.
      this.#outcome = { failed: false }
      return outcome.failed ? Promise.reject(outcome.reason) : Promise.resolve(DONE)
    }
    return new Promise<IteratorResult<A>>((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#inner.next().then(
        (next) => {
          if (next.done === true) this.#end({ failed: false })
          else this.#pending = undefined
          resolve(next)
        },
        (reason: unknown) => this.#end({ failed: true, reason }),
      )
    })
  }

  /** Ends the stream: settles a pending `next`, or else keeps the outcome for the next one. */
  #end(outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    this.#removeListener()
    const pending = this.#pending
    this.#pending = undefined
    this.#outcome = pending === undefined ? outcome : { failed: false }
    if (pending === undefined) return
    if (outcome.failed) pending.reject(outcome.reason)
    else pending.resolve(DONE)
  }
}
