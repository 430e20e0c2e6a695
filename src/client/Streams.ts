import { Effect, type Schema, Stream } from "effect"
import { SESSION_CLOSE_TYPES } from "../domain/SessionStream.ts"
import type { Derived } from "./Derived.ts"
import type { AnyError, ErrorOf } from "./Errors.ts"
import type { AnyRequest } from "./Deadlines.ts"
import { type Position, resumableStream } from "./ResumableStream.ts"
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
  sessionEventsOf,
  type SessionStreamEvent,
  TurnEnd,
} from "./StreamedEvents.ts"
import { type AnswerHead, idempotencyHeaders } from "./Transport.ts"

/** The routes that stream, as streams that resume after a lost connection. */

type Payload<M extends (...args: never) => unknown> = Extract<
  Parameters<M>[0],
  { payload: unknown }
>["payload"]
export type RunPayload = Payload<Derived["run"]["run"]>
export type TurnPayload = Payload<Derived["sessions"]["takeTurn"]>
/** A prompt's text, or a whole payload, as a payload. */
export const toPayload = <P extends RunPayload | TurnPayload>(prompt: string | P) =>
  typeof prompt === "string" ? { prompt } : prompt

export type EventFilter = Omit<
  NonNullable<NonNullable<Parameters<Derived["events"]["listEvents"]>[0]>["urlParams"]>,
  "limit"
>

type ErrorsOf<M extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Error<
  ReturnType<M>
>
/** A stream's failures: those of the request that opens it, and those that a run may end with. */
export type RunStreamError = ErrorsOf<Derived["run"]["run"]>
export type TurnStreamError = ErrorsOf<Derived["sessions"]["takeTurn"]>
export type ReadStreamError = RunStreamError | TurnStreamError
export type SessionStreamError = ErrorsOf<Derived["sessions"]["readSession"]>
export type LogStreamError = ErrorsOf<Derived["events"]["listEvents"]> | ErrorOf<"unauthorized">

export interface StreamOptions {
  /** With a key, the request is sent again if the connection is lost before the answer begins. */
  readonly idempotencyKey?: string | undefined
  /** Whether the result has tokens, cost and model, and a run's the session id. */
  readonly usage?: boolean | undefined
  /** Whether the stream has the answer's text in pieces; by default true. */
  readonly deltas?: boolean | undefined
  /** Whether the stream resumes after a lost connection; by default true. */
  readonly resume?: boolean | undefined
  /** Called with the answer's head, each time that the request is answered. */
  readonly onHead?: ((head: AnswerHead) => void) | undefined
}

export interface ReadOptions {
  /** The id of the event after which the stream begins; by default it begins with the first event. */
  readonly after?: string | undefined
  readonly usage?: boolean | undefined
  /** Whether the stream has the answer's text in pieces; by default true. */
  readonly deltas?: boolean | undefined
}

/**
 * The streams of the API. They pass on each event once and in order, and resume by themselves after a lost connection.
 *
 * The events of a run's stream are its messages, and the answer's text in pieces (`delta`). It ends after its `result`. It
 * fails with the problem of its `error` event, or with a `ConnectionError` if it cannot be resumed. A run goes on without a reader, unless its payload has `on_disconnect: "cancel"`.
 */
export interface Streams {
  /** Runs one prompt. The request is sent a second time only with an `idempotencyKey`. */
  readonly run: (
    payload: RunPayload,
    options?: StreamOptions,
  ) => Stream.Stream<RunEvent<RunAnswer>, RunStreamError>
  /** Takes a turn in a session. */
  readonly turn: (
    sessionId: string,
    payload: TurnPayload,
    options?: StreamOptions,
  ) => Stream.Stream<RunEvent<TurnEnd>, TurnStreamError>
  /** The events of a run or a turn: the past ones from the beginning or after an event, then the live ones. */
  readonly runEvents: (
    runId: string,
    options?: ReadOptions,
  ) => Stream.Stream<RunEvent<AnyEnd>, ReadStreamError>
  readonly turnEvents: (
    sessionId: string,
    turnIndex: number,
    options?: ReadOptions,
  ) => Stream.Stream<RunEvent<TurnEnd>, TurnStreamError>
  /**
   * What happens to a session beside its turns: what its agent says while no turn is open (`session.message`), and its own
   * events. The past ones from the beginning or after an event, then the live ones, until the session is closed.
   */
  readonly sessionEvents: (
    sessionId: string,
    options?: { readonly after?: string | undefined },
  ) => Stream.Stream<SessionStreamEvent, SessionStreamError>
  /** The events of the log, from now on or after an event. It never ends. */
  readonly events: (filter?: EventFilter) => Stream.Stream<LogEvent | Resync, LogStreamError>
}

const resumeHeaders = (lastId: string | undefined) =>
  lastId === undefined ? {} : { "last-event-id": lastId }
const paramsOf = ({ usage = false, deltas = true }: Pick<ReadOptions, "usage" | "deltas">) => ({
  ...(usage ? { include: "usage" } : {}),
  ...(deltas ? { deltas: "1" } : {}),
})

/** Reads the stream of a run that exists already. */
const read = <A, I>(open: Open, request: AnyRequest, options: ReadOptions, answer: Schema.Schema<A, I>) =>
  runEventsOf(
    resumableStream({
      open: ({ lastId }) =>
        open({
          ...request,
          urlParams: paramsOf(options),
          headers: resumeHeaders(lastId ?? options.after),
        }),
      resumable: () => true,
      last: ["result"],
      needsLast: true,
    }),
    answer,
  )

export const makeStreams = (derived: Derived, openerOf: (endpoint: string) => Open): Streams => {
  const readRun = openerOf("runEvents")
  const readTurn = openerOf("turnEvents")
  const followEvents = openerOf("followEvents")
  const readSession = openerOf("sessionEvents")

  /** Starts a run or a turn, and reads its stream. After a lost connection it reads the run's stream by its id. */
  const start = <A, I>(
    open: Open,
    request: AnyRequest,
    { idempotencyKey, resume = true, onHead, ...options }: StreamOptions,
    answer: Schema.Schema<A, I>,
  ): Stream.Stream<RunEvent<A>, AnyError> => {
    const requestWithKey = {
      ...request,
      urlParams: paramsOf(options),
      headers: idempotencyHeaders({ idempotencyKey }),
    }
    return runEventsOf(
      resumableStream({
        open: ({ runId, lastId }) =>
          runId === undefined
            ? Effect.tap(open(requestWithKey), ({ head }) => Effect.sync(() => onHead?.(head)))
            : readRun({ path: { id: runId }, urlParams: paramsOf(options), headers: resumeHeaders(lastId) }),
        resumable: ({ runId }) => resume && (runId !== undefined || idempotencyKey !== undefined),
        last: ["result"],
        needsLast: true,
      }),
      answer,
    )
  }

  /**
   * The newest event that the reader sees. A stream from now on begins after it: so the stream loses nothing if its
   * connection is lost before its first event.
   */
  const newest = derived.events
    .listEvents({ urlParams: { limit: 1 } })
    .pipe(Effect.map(({ events }) => String(events[0]?.seq ?? 0)))

  // The functions above type all failures; the casts narrow them to those that each route declares.
  return {
    run: (payload, options = {}) => start(openerOf("run"), { payload }, options, RunEnd) as never,
    turn: (id, payload, options = {}) =>
      start(openerOf("takeTurn"), { path: { id }, payload }, options, TurnEnd) as never,
    runEvents: (id, options = {}) => read(readRun, { path: { id } }, options, AnyEnd) as never,
    turnEvents: (id, n, options = {}) =>
      read(readTurn, { path: { id, n: String(n) } }, options, TurnEnd) as never,
    sessionEvents: (id, { after } = {}) =>
      sessionEventsOf(
        resumableStream({
          open: ({ lastId }) => readSession({ path: { id }, headers: resumeHeaders(lastId ?? after) }),
          resumable: () => true,
          last: SESSION_CLOSE_TYPES,
          needsLast: false,
        }),
      ) as never,
    events: ({ after: from, ...filter } = {}) =>
      Stream.unwrap(
        Effect.map(from === undefined ? newest : Effect.succeed(from), (first) =>
          logEventsOf(
            resumableStream({
              open: ({ lastId }: Position) =>
                followEvents({ urlParams: filter, headers: resumeHeaders(lastId ?? first) }),
              resumable: () => true,
              last: [],
              needsLast: false,
            }),
          ),
        ),
      ) as never,
  }
}
