import { Deferred, Effect, Exit, Queue } from "effect"

/** Says a piece of an answer, before the rest of it is known. */
export type Say<E = never> = (text: string) => Effect.Effect<void, E>

/** What of an answer is not said yet. */
export const unsaid = (text: string, said: string): string =>
  text.startsWith(said) ? text.slice(said.length) : text

/** A prompt that stays at work until it is let go: by its test, by its timeout, or because it is cancelled. */
export interface Held<Asked, Reply, Failure> {
  /** Waits until the prompt is at work, and gives what was asked. */
  readonly started: Effect.Effect<Asked>
  /** Waits until it is at work no more, on whatever way. */
  readonly ended: Effect.Effect<void>
  /** Says a piece of its answer, as soon as it is at work. */
  readonly say: (text: string) => void
  /** Lets it go, with that answer; without one, with what it said, or if that is nothing with the default answer. */
  readonly release: (reply?: Reply) => void
  /** Lets it go, with that failure. */
  readonly fail: (failure: Failure) => void
}

/** What a prompt came to, and what of it was said already. */
export interface Performed<Reply> {
  readonly reply: Reply
  readonly said: string
}

/**
 * What an agent does with the prompts that come, one after the other. A prompt takes the step that was added first and
 * that no other took; one for which there is none gets the default answer. Nothing here takes time but what is held.
 */
export class Script<Asked, Reply, Failure> {
  readonly #otherwise: (asked: Asked) => Reply
  readonly #ofSaid: (text: string) => Reply
  readonly #steps: Array<Step<Asked, Reply, Failure>> = []
  readonly #nth = new Map<number, Failure>()
  readonly #requests: Array<Asked> = []

  constructor(otherwise: (asked: Asked) => Reply, ofSaid: (text: string) => Reply) {
    this.#otherwise = otherwise
    this.#ofSaid = ofSaid
  }

  /** What was asked so far, oldest first. */
  get requests(): ReadonlyArray<Asked> {
    return this.#requests
  }

  /** Has the next prompt answered so; with several, as many prompts. */
  nextAnswer(...replies: ReadonlyArray<Reply>): void {
    for (const reply of replies) this.#steps.push(() => Effect.succeed({ reply, said: "" }))
  }

  /** Has the next prompt fail. */
  nextFailure(failure: Failure): void {
    this.#steps.push(() => Effect.fail(failure))
  }

  /** Has the n-th prompt fail, counted from the first that ever came; it takes no other step. */
  failNth(nth: number, failure: Failure): void {
    this.#nth.set(nth, failure)
  }

  /** Has the next prompt stay at work until it is let go. */
  hold(): Held<Asked, Reply, Failure> {
    const started = Effect.runSync(Deferred.make<Asked>())
    const ended = Effect.runSync(Deferred.make<void>())
    const orders = Effect.runSync(Queue.unbounded<Order<Reply, Failure>>())
    this.#steps.push((asked, say) =>
      Effect.gen(this, function* () {
        Deferred.unsafeDone(started, Exit.succeed(asked))
        for (let said = ""; ; ) {
          const order = yield* orders
          if ("failure" in order) return yield* Effect.fail(order.failure)
          if ("reply" in order) {
            const otherwise = () => (said === "" ? this.#otherwise(asked) : this.#ofSaid(said))
            return { reply: order.reply ?? otherwise(), said }
          }
          said += order.text
          yield* say(order.text)
        }
      }).pipe(Effect.ensuring(Deferred.succeed(ended, undefined))),
    )
    return {
      started: Deferred.await(started),
      ended: Deferred.await(ended),
      say: (text) => void orders.unsafeOffer({ text }),
      release: (reply) => void orders.unsafeOffer({ reply }),
      fail: (failure) => void orders.unsafeOffer({ failure }),
    }
  }

  /** Does with a prompt what is its turn. */
  perform<E>(asked: Asked, say: Say<E>): Effect.Effect<Performed<Reply>, Failure | E> {
    return Effect.suspend((): Effect.Effect<Performed<Reply>, Failure | E> => {
      const nth = this.#requests.push(asked)
      const failure = this.#nth.get(nth)
      if (failure !== undefined) return Effect.fail(failure)
      const step = this.#steps.shift()
      return step === undefined
        ? Effect.succeed({ reply: this.#otherwise(asked), said: "" })
        : step<E>(asked, say)
    })
  }
}

type Step<Asked, Reply, Failure> = <E>(
  asked: Asked,
  say: Say<E>,
) => Effect.Effect<Performed<Reply>, Failure | E>

type Order<Reply, Failure> =
  | { readonly text: string }
  | { readonly reply: Reply | undefined }
  | { readonly failure: Failure }
