import { Effect, Option, Schema, Stream } from "effect"
import type { OpenedStream } from "./Routes.ts"
import { type AnyError, ConnectionError, GoneError, UnexpectedAnswerError } from "./Errors.ts"
import { eventsIn } from "./EventSource.ts"
import { withDeadline } from "./Deadlines.ts"
import { errorOfProblem } from "./Problems.ts"
import { isTransient, RETRIES_MAX, retryDelay } from "./Retries.ts"
import { parseJson } from "./Transport.ts"

/** A stream that reconnects after a lost connection and resumes after its last event. */

/** One event on the wire. */
export interface StreamEvent {
  readonly id: string
  readonly event: string
  /** The parsed JSON of its data. */
  readonly data: unknown
}

/** From where a stream is opened. */
export interface Position {
  /** The id of the last event that was passed on; undefined before the first one. */
  readonly lastId: string | undefined
  /** The run that the stream belongs to, once it is known. */
  readonly runId: string | undefined
}

export interface StreamSource {
  /** Opens the stream after a position. */
  readonly open: (position: Position) => Effect.Effect<OpenedStream, AnyError>
  /** Whether the stream may be opened again after that position. */
  readonly resumable: (position: Position) => boolean
  /** The names that the stream's last event may have; none if the stream never ends. */
  readonly last: ReadonlyArray<string>
  /** Whether a stream that ends without its last event is incomplete. */
  readonly needsLast: boolean
}

/** An answer has to begin within this time. */
const OPENING_SECS = 75
/** Failed attempts in a row before the stream fails: about forty seconds, enough for the service to restart. */
const FAILED_ATTEMPTS_MAX = 12

/**
 * The events of a source, each once and in order, up to its last one. Has none if it begins after the last one. Reconnects
 * after a lost connection. Fails with the error of an `error` event, with the last connection's error when it cannot be
 * resumed, or with `GoneError` when its last event is no longer stored.
 */
export const resumableStream = ({
  open,
  resumable,
  last,
  needsLast,
}: StreamSource): Stream.Stream<StreamEvent, AnyError> =>
  Stream.suspend(() => {
    let lastId: string | undefined
    let runId: string | undefined
    let lastError: AnyError | undefined
    let failedAttempts = 0
    let hasOpened = false
    let isOver = false

    const connect: Effect.Effect<OpenedStream, Option.Option<AnyError>> = Effect.gen(function* () {
      if (isOver) return yield* Effect.fail(Option.none())
      if (lastError !== undefined) {
        if (
          failedAttempts >= (hasOpened ? FAILED_ATTEMPTS_MAX : RETRIES_MAX) ||
          !resumable({ lastId, runId })
        )
          return yield* Effect.fail(Option.some(lastError))
        yield* Effect.sleep(retryDelay(failedAttempts, lastError))
        failedAttempts += 1
      }
      const opened = yield* Effect.either(open({ lastId, runId }).pipe(withDeadline(OPENING_SECS)))
      if (opened._tag === "Right") {
        // The stream has ended, and nothing comes after `lastId`.
        if (opened.right.head.status === 204) {
          return yield* Effect.fail(hasOpened && needsLast ? Option.some(gone()) : Option.none())
        }
        hasOpened = true
        runId ??= opened.right.head.runId
        return opened.right
      }
      lastError = opened.left
      const mayRetry = isTransient(lastError) || lastError.code === "deadline_exceeded"
      return yield* mayRetry ? connect : Effect.fail(Option.some(lastError))
    })

    /** Passes on an event that is new. Fails with the problem of an `error` event. */
    const accept = ({
      id = "",
      event = "message",
      data,
    }: {
      id?: string | undefined
      event?: string | undefined
      data: string
    }) =>
      Effect.gen(function* () {
        const json = parseJson(data)
        if (event === "error") return yield* Effect.fail(errorOfProblem(json))
        if (!/^\d{1,15}(\.\d)?$/.test(id) || json === undefined) {
          return yield* Effect.fail(
            new UnexpectedAnswerError("an event of the stream is none of the service's"),
          )
        }
        if (lastId !== undefined && Number(id) <= Number(lastId) && !last.includes(event)) return []
        lastId = id
        if (event === "run") runId ??= runIdIn(json)
        isOver = last.includes(event)
        return [{ id, event, data: json }]
      })

    const read = ({ response }: OpenedStream): Stream.Stream<StreamEvent, AnyError> =>
      eventsIn(response, () => (failedAttempts = 0)).pipe(
        Stream.mapEffect(accept),
        Stream.flattenIterables,
        Stream.takeUntil(() => isOver),
        Stream.concat(Stream.suspend(() => (isOver ? Stream.empty : Stream.fail(endedEarly())))),
        Stream.catchAll((error) => {
          if (!(error instanceof ConnectionError)) return Stream.fail(error)
          lastError = error
          return Stream.empty
        }),
      )

    return Stream.flatMap(Stream.repeatEffectOption(connect), read)
  })

const runIdIn = (data: unknown) =>
  Option.getOrUndefined(Schema.decodeUnknownOption(Schema.Struct({ run_id: Schema.String }))(data))?.run_id

const gone = () => new GoneError("the rest of the stream is no longer stored")

const endedEarly = () => new ConnectionError("the stream ended before its work did", { retryable: true })
