import { Effect, Schema, Stream } from "effect"
import { EventType } from "../domain/Event.ts"
import { Event } from "../http/groups/Events.ts"
import { RunAnswer } from "../http/groups/Run.ts"
import { TurnAnswer } from "../http/groups/Sessions.ts"
import { type AnyError, UnexpectedAnswerError } from "./Errors.ts"
import type { Came } from "./Resuming.ts"

/** What streams tell. Their `error` is not among it: it is what the stream fails with. */

/** Some of the stream is kept no more: everything up to this id; `oldest_id` is what comes next. */
export interface Resync {
  readonly type: "resync"
  readonly id: string
  readonly data: { readonly oldest_id: string | null }
}

/** Which run it is; the first of its events. */
export interface RunBegun {
  readonly type: "run"
  readonly id: string
  readonly data: { readonly run_id: string; readonly session_id?: string; readonly turn_index?: number }
}

/** A line of the CLI, or a message of the agent, as it came. */
export interface Message {
  readonly type: "message"
  readonly id: string
  readonly data: unknown
}

/** The end: what the plain answer has. */
export interface Result<Answer> {
  readonly type: "result"
  readonly id: string
  readonly data: Answer
}

/** An event of a run's stream. */
export type RunEvent<Answer> = RunBegun | Message | Result<Answer> | Resync

/** The answer to a one-shot. */
export type RunAnswer = typeof RunAnswer.Type

/** The answer to a turn, without its events: they came before. */
export const TurnEnd = TurnAnswer.omit("events")
export type TurnEnd = typeof TurnEnd.Type

/** Of a run that may be a turn. */
export const AnyEnd = Schema.Union(TurnEnd, RunAnswer)
export type AnyEnd = typeof AnyEnd.Type
export { RunAnswer as RunEnd }

/** Something that happened, as the log has it. */
export interface LogEvent {
  readonly type: (typeof Event.Type)["type"]
  readonly id: string
  readonly data: typeof Event.Type
}

const Gap = Schema.Struct({ oldest_id: Schema.NullOr(Schema.String) })
const Begun = Schema.Struct({
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

/** The events of a run; of names that this version does not know, none. */
export const runEventsOf = <Answer, I>(
  came: Stream.Stream<Came, AnyError>,
  answer: Schema.Schema<Answer, I>,
): Stream.Stream<RunEvent<Answer>, AnyError> => {
  const one = ({ id, event: type, data }: Came): Effect.Effect<ReadonlyArray<RunEvent<Answer>>, AnyError> => {
    if (type === "message") return Effect.succeed([{ type, id, data }])
    if (type === "run") return Effect.map(decode(Begun)(data), (data) => [{ type, id, data }])
    if (type === "result") return Effect.map(decode(answer)(data), (data) => [{ type, id, data }])
    if (type === "resync") return Effect.map(decode(Gap)(data), (data) => [{ type, id, data }])
    return Effect.succeed([])
  }
  return came.pipe(Stream.mapEffect(one), Stream.flattenIterables)
}

/** The events of the log; of types that this version does not know, none. */
export const logEventsOf = (
  came: Stream.Stream<Came, AnyError>,
): Stream.Stream<LogEvent | Resync, AnyError> =>
  came.pipe(
    Stream.filter(({ event }) => event === "resync" || Schema.is(EventType)(event)),
    Stream.mapEffect(
      ({ id, event, data }): Effect.Effect<LogEvent | Resync, AnyError> =>
        event === "resync"
          ? Effect.map(decode(Gap)(data), (data) => ({ type: "resync" as const, id, data }))
          : Effect.map(decode(Event)(data), (data) => ({ type: data.type, id, data })),
    ),
  )
