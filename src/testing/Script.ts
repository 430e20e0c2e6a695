import { Deferred, Effect, Exit, Queue } from "effect"

/** Streams a piece of an answer, before the rest of the answer is known. */
export type Say<E = never> = (text: string) => Effect.Effect<void, E>

/** Returns the part of an answer that was not streamed yet: all of it, unless it begins with the streamed text. */
export const remainingText = (text: string, streamed: string): string =>
  text.startsWith(streamed) ? text.slice(streamed.length) : text

/** A prompt that is being answered until the test releases it, it times out, or it is cancelled. */
export interface Held<Asked, Reply, Failure> {
  /** Waits until the prompt has reached the agent, and returns it. */
  readonly started: Effect.Effect<Asked>
  /** Waits until the prompt has ended: released, failed, timed out or cancelled. */
  readonly ended: Effect.Effect<void>
  /** Streams a piece of the answer, as soon as the prompt has reached the agent. */
  readonly say: (text: string) => void
  /** Ends the prompt with that answer. Without one, the answer is the streamed text, or else the default answer. */
  readonly release: (reply?: Reply) => void
  /** Ends the prompt with that failure. */
  readonly fail: (failure: Failure) => void
}

/** The answer to a prompt, and the text that was streamed before it. */
export interface ScriptedReply<Reply> {
  readonly reply: Reply
  readonly streamed: string
}

/**
 * What an agent does with prompts. The steps are taken in the order in which they were added, one by each prompt in the
 * order of the prompts' arrival. A prompt without a step gets the default answer. Only a held prompt takes time.
 */
export class Script<Asked, Reply, Failure> {
  readonly #defaultReply: (asked: Asked) => Reply
  readonly #replyOfText: (text: string) => Reply
  readonly #steps: Array<Step<Asked, Reply, Failure>> = []
  /** Failures by the number of their prompt. */
  readonly #failures = new Map<number, Failure>()
  readonly #requests: Array<Asked> = []

  /**
   * @param defaultReply Makes the answer to a prompt without a step.
   * @param replyOfText Makes an answer of the text that was streamed.
   */
  constructor(defaultReply: (asked: Asked) => Reply, replyOfText: (text: string) => Reply) {
    this.#defaultReply = defaultReply
    this.#replyOfText = replyOfText
  }

  /** All prompts so far, oldest first. */
  get requests(): ReadonlyArray<Asked> {
    return this.#requests
  }

  /** Adds a step for each reply: to answer with it. */
  nextAnswer(...replies: ReadonlyArray<Reply>): void {
    for (const reply of replies) this.#steps.push(() => Effect.succeed({ reply, streamed: "" }))
  }

  /** Adds a step: to fail. */
  nextFailure(failure: Failure): void {
    this.#steps.push(() => Effect.fail(failure))
  }

  /** Makes the n-th prompt fail, counted from the script's first prompt, from 1. That prompt takes no step. */
  failNth(nth: number, failure: Failure): void {
    this.#failures.set(nth, failure)
  }

  /** Adds a step: to hold the prompt until it is released. */
  hold(): Held<Asked, Reply, Failure> {
    const started = Effect.runSync(Deferred.make<Asked>())
    const ended = Effect.runSync(Deferred.make<void>())
    const commands = Effect.runSync(Queue.unbounded<Command<Reply, Failure>>())
    this.#steps.push((asked, say) =>
      Effect.gen(this, function* () {
        Deferred.unsafeDone(started, Exit.succeed(asked))
        for (let streamed = ""; ; ) {
          const command = yield* commands
          if ("failure" in command) return yield* Effect.fail(command.failure)
          if ("reply" in command) {
            const reply = () => (streamed === "" ? this.#defaultReply(asked) : this.#replyOfText(streamed))
            return { reply: command.reply ?? reply(), streamed }
          }
          streamed += command.text
          yield* say(command.text)
        }
      }).pipe(Effect.ensuring(Deferred.succeed(ended, undefined))),
    )
    return {
      started: Deferred.await(started),
      ended: Deferred.await(ended),
      say: (text) => void commands.unsafeOffer({ text }),
      release: (reply) => void commands.unsafeOffer({ reply }),
      fail: (failure) => void commands.unsafeOffer({ failure }),
    }
  }

  /** Performs the step of a prompt. `say` streams the pieces of a held prompt. */
  perform<E>(asked: Asked, say: Say<E>): Effect.Effect<ScriptedReply<Reply>, Failure | E> {
    return Effect.suspend((): Effect.Effect<ScriptedReply<Reply>, Failure | E> => {
      const nth = this.#requests.push(asked)
      const failure = this.#failures.get(nth)
      if (failure !== undefined) return Effect.fail(failure)
      const step = this.#steps.shift()
      return step === undefined
        ? Effect.succeed({ reply: this.#defaultReply(asked), streamed: "" })
        : step<E>(asked, say)
    })
  }
}

type Step<Asked, Reply, Failure> = <E>(
  asked: Asked,
  say: Say<E>,
) => Effect.Effect<ScriptedReply<Reply>, Failure | E>

type Command<Reply, Failure> =
  | { readonly text: string }
  | { readonly reply: Reply | undefined }
  | { readonly failure: Failure }
