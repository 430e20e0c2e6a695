import { Effect, Schema, Stream } from "effect"
import type { Delta } from "../domain/AnswerText.ts"
import { EventType } from "../domain/Event.ts"
import { Event } from "../http/groups/Events.ts"
import { RunAnswer } from "../http/groups/Run.ts"
import { TurnAnswer } from "../http/groups/Sessions.ts"
import { type AnyError, UnexpectedAnswerError } from "./Errors.ts"
import type { StreamEvent } from "./ResumableStream.ts"

/** The events of streams. An `error` event is not among them: the stream fails with it. */

/** A part of the stream was deleted: all events up to this id. `oldest_id` is the first event that is still there. */
export interface Resync {
  readonly type: "resync"
  readonly id: string
  readonly data: { readonly oldest_id: string | null }
}

/** The first event of a run's stream: which run it is. */
export interface RunBegun {
  readonly type: "run"
  readonly id: string
  readonly data: { readonly run_id: string; readonly session_id?: string; readonly turn_index?: number }
}

/** A line of the CLI, or a message of the agent, unchanged. */
export interface Message {
  readonly type: "message"
  readonly id: string
  readonly data: unknown
}

/**
 * A piece of the answer's text, or a reset: all text so far is void, and the agent begins its answer anew. The pieces since
 * the last reset, joined, are the text that a one-shot's `result` is made from, and all that the agent says in a turn.
 */
export interface DeltaEvent {
  readonly type: "delta"
  readonly id: string
  readonly data: Delta
}

/** Returns the text with a delta: appended, or "" after a reset. */
export const applyDelta = (text: string, delta: Delta): string => ("reset" in delta ? "" : text + delta.text)

/** The last event of a run's stream: the same answer as without a stream. */
export interface Result<Answer> {
  readonly type: "result"
  readonly id: string
  readonly data: Answer
}

/** An event of a run's stream. */
export type RunEvent<Answer> = RunBegun | Message | DeltaEvent | Result<Answer> | Resync

/** The answer to a one-shot. */
export type RunAnswer = typeof RunAnswer.Type

/** The answer to a turn, without its `events`: the stream has sent them before. */
export const TurnEnd = TurnAnswer.omit("events")
export type TurnEnd = typeof TurnEnd.Type

/** The answer of a run that may be a turn. */
export const AnyEnd = Schema.Union(TurnEnd, RunAnswer)
export type AnyEnd = typeof AnyEnd.Type
export { RunAnswer as RunEnd }

/** An event of the log. */
export interface LogEvent {
  readonly type: (typeof Event.Type)["type"]
  readonly id: string
  readonly data: typeof Event.Type
}

/** What an agent sends while no turn of its session is open. */
export interface SessionMessage {
  readonly type: "session.message"
  readonly id: string
  readonly data: typeof SessionMessageData.Type
}

/** An event of a session's stream. */
export type SessionStreamEvent = SessionMessage | LogEvent | Resync

const SessionMessageData = Schema.Struct({
  ...Event.fields,
  type: Schema.Literal("session.message"),
  data: Schema.Struct({ message: Schema.Unknown }),
})

const ResyncData = Schema.Struct({ oldest_id: Schema.NullOr(Schema.String) })
const DeltaData: Schema.Schema<Delta> = Schema.Union(
  Schema.Struct({ text: Schema.String }),
  Schema.Struct({ reset: Schema.Literal(true) }),
)
const RunBegunData = Schema.Struct({
  run_id: Schema.String,
  session_id: Schema.optionalWith(Schema.String, { exact: true, nullable: true }),
  turn_index: Schema.optionalWith(Schema.Int, { exact: true, nullable: true }),
})

const decode =
  <A, I>(schema: Schema.Schema<A, I>) =>
  (data: unknown): Effect.Effect<A, AnyError> =>
    Effect.mapError(
      Schema.decodeUnknown(schema)(data),
      () => new UnexpectedAnswerError("an event of the stream is none of the service's"),
    )

/** Decodes the events of a run's stream. Drops events whose name this version does not know. */
export const runEventsOf = <Answer, I>(
  stream: Stream.Stream<StreamEvent, AnyError>,
  answer: Schema.Schema<Answer, I>,
): Stream.Stream<RunEvent<Answer>, AnyError> => {
  const decodeEvent = ({
    id,
    event: type,
    data,
  }: StreamEvent): Effect.Effect<ReadonlyArray<RunEvent<Answer>>, AnyError> => {
    if (type === "message") return Effect.succeed([{ type, id, data }])
    if (type === "delta") return Effect.map(decode(DeltaData)(data), (data) => [{ type, id, data }])
    if (type === "run") return Effect.map(decode(RunBegunData)(data), (data) => [{ type, id, data }])
    if (type === "result") return Effect.map(decode(answer)(data), (data) => [{ type, id, data }])
    if (type === "resync") return Effect.map(decode(ResyncData)(data), (data) => [{ type, id, data }])
    return Effect.succeed([])
  }
  return stream.pipe(Stream.mapEffect(decodeEvent), Stream.flattenIterables)
}

const decodeLogEvent = ({ id, event, data }: StreamEvent): Effect.Effect<LogEvent | Resync, AnyError> =>
  event === "resync"
    ? Effect.map(decode(ResyncData)(data), (data) => ({ type: "resync" as const, id, data }))
    : Effect.map(decode(Event)(data), (data) => ({ type: data.type, id, data }))

const isLogEvent = ({ event }: StreamEvent): boolean => event === "resync" || Schema.is(EventType)(event)

/** Decodes the events of the log. Drops events whose type this version does not know. */
export const logEventsOf = (
  stream: Stream.Stream<StreamEvent, AnyError>,
): Stream.Stream<LogEvent | Resync, AnyError> =>
  stream.pipe(Stream.filter(isLogEvent), Stream.mapEffect(decodeLogEvent))

/** Decodes the events of a session's stream. Drops events whose type this version does not know. */
export const sessionEventsOf = (
  stream: Stream.Stream<StreamEvent, AnyError>,
): Stream.Stream<SessionStreamEvent, AnyError> =>
  stream.pipe(
    Stream.filter((event) => event.event === "session.message" || isLogEvent(event)),
    Stream.mapEffect(
      (event): Effect.Effect<SessionStreamEvent, AnyError> =>
        event.event === "session.message"
          ? Effect.map(decode(SessionMessageData)(event.data), (data) => ({
              type: data.type,
              id: event.id,
              data,
            }))
          : decodeLogEvent(event),
    ),
  )
