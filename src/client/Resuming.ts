import { Effect, Option, Schema, Stream } from "effect"
import type { Opened } from "./Routes.ts"
import { type AnyError, ConnectionError, UnexpectedAnswerError } from "./Errors.ts"
import { eventsIn } from "./EventSource.ts"
import { AGAIN_MAX, backOff, isPassing, withDeadline } from "./Patience.ts"
import { errorOfProblem } from "./Problems.ts"
import { parsed } from "./Transport.ts"

/** A stream that goes on where it was after its connection is lost, so that each event comes once and in order. */

/** One event, as it came. */
export interface Came {
  readonly id: string
  readonly event: string
  /** What its JSON holds. */
  readonly data: unknown
}

/** How far a stream has come. */
export interface Place {
  /** The last event that was passed on, or before which everything was. */
  readonly lastId: string | undefined
  /** The run that is read, once that is known. */
  readonly runId: string | undefined
}

export interface Source {
  /** Opens it from that place on. */
  readonly open: (place: Place) => Effect.Effect<Opened, AnyError>
  /** Whether it may be opened again from there. */
  readonly resumable: (place: Place) => boolean
  /** The event after which it is over; none: it never is. */
  readonly last: string | undefined
}

/** How long an answer may take to begin. */
const OPENING_SECS = 75
/** How often in a row it is tried in vain to go on: some forty seconds, in which a service may start anew. */
const IN_VAIN_MAX = 12

export const resuming = ({ open, resumable, last }: Source): Stream.Stream<Came, AnyError> =>
  Stream.suspend(() => {
    let lastId: string | undefined
    let runId: string | undefined
    let lost: AnyError | undefined
    let inVain = 0
    let begun = false
    let isOver = false

    const connection: Effect.Effect<Opened, Option.Option<AnyError>> = Effect.gen(function* () {
      if (isOver) return yield* Effect.fail(Option.none())
      if (lost !== undefined) {
        if (inVain >= (begun ? IN_VAIN_MAX : AGAIN_MAX) || !resumable({ lastId, runId }))
          return yield* Effect.fail(Option.some(lost))
        yield* Effect.sleep(backOff(inVain, lost))
        inVain += 1
      }
      const opened = yield* Effect.either(open({ lastId, runId }).pipe(withDeadline(OPENING_SECS)))
      if (opened._tag === "Right") {
        begun = true
        runId ??= opened.right.head.runId
        return opened.right
      }
      lost = opened.left
      const passes = isPassing(lost) || lost.code === "deadline_exceeded"
      return yield* passes ? connection : Effect.fail(Option.some(lost))
    })

    /** Passes on what is new; fails with what the stream ends with. */
    const take = ({
      id = "",
      event = "message",
      data,
    }: {
      id?: string | undefined
      event?: string | undefined
      data: string
    }) =>
      Effect.gen(function* () {
        const json = parsed(data)
        if (event === "error") return yield* Effect.fail(errorOfProblem(json))
        if (!/^\d{1,15}$/.test(id) || json === undefined) {
          return yield* Effect.fail(
            new UnexpectedAnswerError("an event of the stream is none of the service's"),
          )
        }
        if (lastId !== undefined && Number(id) <= Number(lastId) && event !== last) return []
        lastId = id
        if (event === "run") runId ??= runIn(json)
        isOver = event === last
        return [{ id, event, data: json }]
      })

    const read = ({ response }: Opened): Stream.Stream<Came, AnyError> =>
      eventsIn(response, () => (inVain = 0)).pipe(
        Stream.mapEffect(take),
        Stream.flattenIterables,
        Stream.takeUntil(() => isOver),
        Stream.concat(Stream.suspend(() => ended())),
        Stream.catchAll((error) => {
          if (!(error instanceof ConnectionError)) return Stream.fail(error)
          lost = error
          return Stream.empty
        }),
      )

    const ended = () => (isOver ? Stream.empty : Stream.fail(cutShort()))

    return Stream.flatMap(Stream.repeatEffectOption(connection), read)
  })

const runIn = (data: unknown) =>
  Option.getOrUndefined(Schema.decodeUnknownOption(Schema.Struct({ run_id: Schema.String }))(data))?.run_id

const cutShort = () => new ConnectionError("the stream ended before its work did", { retryable: true })
