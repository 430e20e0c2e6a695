import { Effect } from "effect"
import type { Derived } from "./Derived.ts"
import type { ForgeMethods } from "./ForgeClient.ts"
import { takeTurn } from "./LongAnswers.ts"
import { type CallOptions, Events, settle } from "./Promises.ts"
import type { Checked } from "./Settings.ts"
import type { RunEvent, TurnEnd } from "./StreamedEvents.ts"
import type { TurnPayload } from "./Streams.ts"

type Answer<M extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Success<
  ReturnType<M>
>
type Sessions = Derived["sessions"]

/** What a call that makes something may be given. */
export interface KeyedOptions extends CallOptions {
  /** For 24 hours the same key with the same request gives the first answer again; and what is lost is sent again. */
  readonly idempotencyKey?: string | undefined
}

export const keyed = ({ idempotencyKey }: KeyedOptions) =>
  idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }

/** The answer to a turn. */
export type TurnAnswer = Answer<Sessions["takeTurn"]> & {
  readonly run_id: string
  /** Whether the answer was given before, to the same key. */
  readonly replayed: boolean
  /** What the agent said, without its thoughts and its tools. */
  readonly text: () => string
}

/** What the agent's messages say in words. */
export const textOf = (events: ReadonlyArray<unknown>): string =>
  events
    .map((event) => (event as Said | null)?.params?.update)
    .filter((update) => update?.sessionUpdate === "agent_message_chunk")
    .map((update) => update?.content?.text ?? "")
    .join("")

interface Said {
  readonly params?: {
    readonly update?: {
      readonly sessionUpdate?: string
      readonly content?: { readonly text?: string }
    }
  }
}

const payloadOf = (prompt: string | TurnPayload): TurnPayload =>
  typeof prompt === "string" ? { prompt } : prompt

/** A conversation with an agent. `await using` closes it. */
export class ForgeSession implements AsyncDisposable {
  readonly id: string
  readonly #client: ForgeMethods
  readonly #settings: Checked

  constructor(id: string, client: ForgeMethods, settings: Checked) {
    this.id = id
    this.#client = client
    this.#settings = settings
  }

  /** Says the next thing, and waits for the whole answer. */
  turn(prompt: string | TurnPayload, options: KeyedOptions = {}): Promise<TurnAnswer> {
    const answer = takeTurn(this.#client, this.#settings, this.id, payloadOf(prompt), options)
    return settle(
      Effect.map(answer, (turned) => ({ ...turned, text: () => textOf(turned.events) })),
      options,
    )
  }

  /** Says the next thing, and gives the answer as it comes. To `break` ends the reading, not the turn. */
  stream(prompt: string | TurnPayload, options: KeyedOptions = {}): Events<RunEvent<TurnEnd>> {
    return new Events(this.#client.streams.turn(this.id, payloadOf(prompt), options), options)
  }

  /** What a turn said and says, from its beginning or from after an event. */
  events(
    turnIndex: number,
    options: CallOptions & { readonly after?: string } = {},
  ): Events<RunEvent<TurnEnd>> {
    return new Events(this.#client.streams.turnEvents(this.id, turnIndex, options), options)
  }

  /** What state it is in. */
  read(options?: CallOptions): Promise<Answer<Sessions["readSession"]>> {
    return settle(this.#client.sessions.readSession({ path: { id: this.id } }), options)
  }

  /** Ends the turn at work and those that wait; again is fine. */
  cancel(options?: CallOptions): Promise<Answer<Sessions["cancelTurns"]>> {
    return settle(this.#client.sessions.cancelTurns({ path: { id: this.id } }), options)
  }

  /** Closes it; again is fine. */
  close(options?: CallOptions): Promise<Answer<Sessions["closeSession"]>> {
    return settle(this.#client.sessions.closeSession({ path: { id: this.id } }), options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
