import { Effect } from "effect"
import { textOfTurn } from "../domain/AnswerText.ts"
import type { AnswerOf, Derived } from "./Derived.ts"
import type { ForgeMethods } from "./ForgeClient.ts"
import { takeTurn } from "./LongAnswers.ts"
import { type CallOptions, Events, settle } from "./Promises.ts"
import type { CheckedSettings } from "./Settings.ts"
import type { RunEvent, SessionStreamEvent, TurnEnd } from "./StreamedEvents.ts"
import { type ReadOptions, toPayload, type TurnPayload } from "./Streams.ts"

type Sessions = Derived["sessions"]

/** Options of calls that create something. */
export interface KeyedOptions extends CallOptions {
  /**
   * An `Idempotency-Key`. For 24 hours, the same key with the same request gives the first answer again. With a key, the
   * client sends the request again after a lost connection.
   */
  readonly idempotencyKey?: string | undefined
}

export interface TurnOptions extends KeyedOptions {
  /** Adds tokens, cost and model to the answer. */
  readonly usage?: boolean | undefined
  /** Whether the answer has the agent's messages, which may be many megabytes; by default true. `text()` is whole anyway. */
  readonly events?: boolean | undefined
}

/** The answer to a turn. */
export type TurnAnswer = Omit<AnswerOf<Sessions["takeTurn"]>, "text"> & {
  readonly run_id: string
  /** Whether this is the answer of an earlier request with the same key. */
  readonly replayed: boolean
  /** The text of the agent's answer, without its thoughts and tool calls. */
  readonly text: () => string
}

/** The text of the answer in the messages of a turn, without thoughts and tool calls. */
export const textOf: (events: ReadonlyArray<unknown>) => string = textOfTurn

/** A conversation with an agent. `await using` closes it. */
export class ForgeSession implements AsyncDisposable {
  readonly id: string
  readonly #client: ForgeMethods
  readonly #settings: CheckedSettings

  constructor(id: string, client: ForgeMethods, settings: CheckedSettings) {
    this.id = id
    this.#client = client
    this.#settings = settings
  }

  /** Takes a turn, and waits for the whole answer. */
  turn(prompt: string | TurnPayload, options: TurnOptions = {}): Promise<TurnAnswer> {
    const answer = takeTurn(this.#client, this.#settings, this.id, toPayload(prompt), options)
    return settle(
      Effect.map(answer, ({ text, ...turn }) => ({ ...turn, text: () => text ?? textOf(turn.events) })),
      options,
    )
  }

  /** Takes a turn, and streams the answer. `break` ends the reading, and the turn only if `on_disconnect` is `cancel`. */
  stream(
    prompt: string | TurnPayload,
    options: KeyedOptions & Pick<ReadOptions, "usage" | "deltas"> = {},
  ): Events<RunEvent<TurnEnd>> {
    return new Events(this.#client.streams.turn(this.id, toPayload(prompt), options), options)
  }

  /** Streams a turn's events: the past ones from the beginning or after an event, then the live ones. */
  events(turnIndex: number, options: CallOptions & ReadOptions = {}): Events<RunEvent<TurnEnd>> {
    return new Events(this.#client.streams.turnEvents(this.id, turnIndex, options), options)
  }

  /**
   * Follows what happens to the session beside its turns: what its agent says while no turn is open (`session.message`), and
   * its own events. The past ones from the beginning or after an event, then the live ones, until the session is closed.
   */
  follow(options: CallOptions & { readonly after?: string } = {}): Events<SessionStreamEvent> {
    return new Events(this.#client.streams.sessionEvents(this.id, options), options)
  }

  /** Reads the session's state. */
  read(options?: CallOptions): Promise<AnswerOf<Sessions["readSession"]>> {
    return settle(this.#client.sessions.readSession({ path: { id: this.id } }), options)
  }

  /** Cancels the session's turns, running and waiting ones. It may be called again. */
  cancel(options?: CallOptions): Promise<AnswerOf<Sessions["cancelTurns"]>> {
    return settle(this.#client.sessions.cancelTurns({ path: { id: this.id } }), options)
  }

  /** Closes the session. It may be called again. */
  close(options?: CallOptions): Promise<AnswerOf<Sessions["closeSession"]>> {
    return settle(this.#client.sessions.closeSession({ path: { id: this.id } }), options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
