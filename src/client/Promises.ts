import { Cause, Effect, Exit, Stream } from "effect"

/** From Effect to Promises. */

/** What any call may be given. */
export interface CallOptions {
  /** Ends the request; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Runs it; rejects with what it fails with, or with the signal's reason. */
export const settle = async <A, E>(effect: Effect.Effect<A, E>, { signal }: CallOptions = {}): Promise<A> => {
  signal?.throwIfAborted()
  const exit = await Effect.runPromiseExit(effect, signal === undefined ? {} : { signal })
  if (Exit.isSuccess(exit)) return exit.value
  if (signal?.aborted === true && Cause.isInterrupted(exit.cause)) throw signal.reason
  throw Cause.squash(exit.cause)
}

const DONE = { done: true, value: undefined } as const

/**
 * The events of a stream, for one `for await`: it begins with the first `next`, and ends with `break`, with its signal, or
 * by itself.
 */
export class Events<A> implements AsyncIterableIterator<A> {
  readonly #inner: AsyncIterator<A>
  readonly #leave: () => void
  #pending:
    | { readonly resolve: (end: typeof DONE) => void; readonly reject: (why: unknown) => void }
    | undefined
  #last: Promise<unknown> = Promise.resolve()
  #over: { readonly why?: unknown; readonly failed: boolean } | undefined

  constructor(stream: Stream.Stream<A, unknown>, { signal }: CallOptions = {}) {
    this.#inner = Stream.toAsyncIterable(stream)[Symbol.asyncIterator]()
    const abort = () => {
      this.#end({ failed: true, why: signal?.reason })
      void this.#inner.return?.()
    }
    this.#leave = () => signal?.removeEventListener("abort", abort)
    if (signal?.aborted === true) this.#over = { failed: true, why: signal.reason }
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
    const over = this.#over
    if (over !== undefined) {
      // A failure is told once.
      this.#over = { failed: false }
      return over.failed ? Promise.reject(over.why) : Promise.resolve(DONE)
    }
    return new Promise<IteratorResult<A>>((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#inner.next().then(
        (next) => {
          if (next.done === true) this.#end({ failed: false })
          else this.#pending = undefined
          resolve(next)
        },
        (why: unknown) => this.#end({ failed: true, why }),
      )
    })
  }

  /** It has no more to say; who waits is told. */
  #end(over: { readonly why?: unknown; readonly failed: boolean }): void {
    if (this.#over !== undefined) return
    this.#leave()
    const pending = this.#pending
    this.#pending = undefined
    this.#over = pending === undefined ? over : { failed: false }
    if (pending === undefined) return
    if (over.failed) pending.reject(over.why)
    else pending.resolve(DONE)
  }
}
