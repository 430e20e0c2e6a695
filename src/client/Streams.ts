import { Effect, type Schema, Stream } from "effect"
import type { Derived } from "./Derived.ts"
import type { AnyError, ErrorOf } from "./Errors.ts"
import type { AnyRequest } from "./Patience.ts"
import { type Place, resuming } from "./Resuming.ts"
import type { Open } from "./Routes.ts"
import {
  AnyEnd,
  type LogEvent,
  logEventsOf,
  type Resync,
  type RunAnswer,
  RunEnd,
  type RunEvent,
  runEventsOf,
  TurnEnd,
} from "./StreamedEvents.ts"
import type { AnswerHead } from "./Transport.ts"

/** Every route that streams, as a stream that outlives its connections. */

type Payload<M extends (...args: never) => unknown> = Extract<
  Parameters<M>[0],
  { payload: unknown }
>["payload"]
export type RunPayload = Payload<Derived["run"]["run"]>
export type TurnPayload = Payload<Derived["sessions"]["takeTurn"]>
export type EventFilter = Omit<
  NonNullable<NonNullable<Parameters<Derived["events"]["listEvents"]>[0]>["urlParams"]>,
  "limit"
>

type ErrorsOf<M extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Error<
  ReturnType<M>
>
/** What a stream may fail with: what reading it may be answered with, and what a run may end with. */
export type RunStreamError = ErrorsOf<Derived["run"]["run"]>
export type TurnStreamError = ErrorsOf<Derived["sessions"]["takeTurn"]>
export type ReadStreamError = RunStreamError | TurnStreamError
export type LogStreamError = ErrorsOf<Derived["events"]["listEvents"]> | ErrorOf<"unauthorized">

export interface StreamOptions {
  /** With a key, the request is sent again when it is lost before its answer began. */
  readonly idempotencyKey?: string | undefined
  /** Whether the result has the tokens, the cost, the model and the session id; of a one-shot. */
  readonly usage?: boolean | undefined
  /** Whether it goes on after a lost connection; by default it does. */
  readonly resume?: boolean | undefined
  /** Is told what the head of the answer says, when there is one. */
  readonly onHead?: ((head: AnswerHead) => void) | undefined
}

export interface ReadOptions {
  /** The event after which to begin. */
  readonly after?: string | undefined
  readonly usage?: boolean | undefined
}

/**
 * Streams go on by themselves after a lost connection, each event once and in order. They end after their `result`, and
 * fail with what the service tells in their `error`, or with a `ConnectionError` when they cannot go on. Work goes on
 * when nobody reads it any more, unless its payload's `on_disconnect` is `cancel`.
 */
export interface Streams {
  /** Asks once. It is asked a second time only with an `idempotencyKey`. */
  readonly run: (
    payload: RunPayload,
    options?: StreamOptions,
  ) => Stream.Stream<RunEvent<RunAnswer>, RunStreamError>
  /** Says the next thing in a session. */
  readonly turn: (
    sessionId: string,
    payload: TurnPayload,
    options?: StreamOptions,
  ) => Stream.Stream<RunEvent<TurnEnd>, TurnStreamError>
  /** What a run or a turn said and says, from its beginning or from a place in it. */
  readonly runEvents: (
    runId: string,
    options?: ReadOptions,
  ) => Stream.Stream<RunEvent<AnyEnd>, ReadStreamError>
  readonly turnEvents: (
    sessionId: string,
    turnIndex: number,
    options?: ReadOptions,
  ) => Stream.Stream<RunEvent<TurnEnd>, TurnStreamError>
  /** All that happens, from now on or from a place; it never ends. */
  readonly events: (filter?: EventFilter) => Stream.Stream<LogEvent | Resync, LogStreamError>
}

/** To begin after an event. */
const after = (lastId: string | undefined) => (lastId === undefined ? {} : { "last-event-id": lastId })
const including = (usage = false) => (usage ? { include: "usage" } : {})

/** Reads what there is. */
const read = <A, I>(open: Open, request: AnyRequest, options: ReadOptions, answer: Schema.Schema<A, I>) =>
  runEventsOf(
    resuming({
      open: ({ lastId }) =>
        open({ ...request, urlParams: including(options.usage), headers: after(lastId ?? options.after) }),
      resumable: () => true,
      last: "result",
    }),
    answer,
  )

export const makeStreams = (derived: Derived, openerOf: (endpoint: string) => Open): Streams => {
  const readRun = openerOf("runEvents")
  const readTurn = openerOf("turnEvents")
  const followEvents = openerOf("followEvents")

  /** Asks for work, and goes on with the stream of the run that it became. */
  const asked = <A, I>(
    open: Open,
    request: AnyRequest,
    { idempotencyKey, usage, resume = true, onHead }: StreamOptions,
    answer: Schema.Schema<A, I>,
  ): Stream.Stream<RunEvent<A>, AnyError> => {
    const keyed = { ...request, headers: { "idempotency-key": idempotencyKey } }
    return runEventsOf(
      resuming({
        open: ({ runId, lastId }) =>
          runId === undefined
            ? Effect.tap(open(keyed), ({ head }) => Effect.sync(() => onHead?.(head)))
            : readRun({ path: { id: runId }, urlParams: including(usage), headers: after(lastId) }),
        resumable: ({ runId }) => resume && (runId !== undefined || idempotencyKey !== undefined),
        last: "result",
      }),
      answer,
    )
  }

  /** Where the log is now, so far as its reader sees: a lost connection loses nothing, from the first event on. */
  const now = derived.events
    .listEvents({ urlParams: { limit: 1 } })
    .pipe(Effect.map(({ events }) => String(events[0]?.seq ?? 0)))

  // What reads streams knows of all failures; which of them a route has, its declaration says.
  return {
    run: (payload, options = {}) =>
      asked(openerOf("run"), { payload, urlParams: including(options.usage) }, options, RunEnd) as never,
    turn: (id, payload, options = {}) =>
      asked(openerOf("takeTurn"), { path: { id }, payload }, options, TurnEnd) as never,
    runEvents: (id, options = {}) => read(readRun, { path: { id } }, options, AnyEnd) as never,
    turnEvents: (id, n, options = {}) =>
      read(readTurn, { path: { id, n: String(n) } }, options, TurnEnd) as never,
    events: ({ after: from, ...filter } = {}) =>
      Stream.unwrap(
        Effect.map(from === undefined ? now : Effect.succeed(from), (begin) =>
          logEventsOf(
            resuming({
              open: ({ lastId }: Place) =>
                followEvents({ urlParams: filter, headers: after(lastId ?? begin) }),
              resumable: () => true,
              last: undefined,
            }),
          ),
        ),
      ) as never,
  }
}
