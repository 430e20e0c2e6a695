import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Either } from "effect"
import { textOfTurn } from "../../domain/AnswerText.ts"
import { RunDefect } from "../../domain/Failure.ts"
import { decodeOutcome, type Report } from "../../domain/Outcome.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import type { AcpMessage } from "../../services/agents/AcpxClient.ts"
import { flatMapConsumer } from "../../services/journal/Consumer.ts"
import { Journal, runScope } from "../../services/journal/Journal.ts"
import { Runs } from "../../services/runs/Runs.ts"
import {
  EVENT_STREAM,
  type Frame,
  type Frames,
  gapFrame,
  type Position,
  STREAM_HEADERS,
} from "../sse/EventStream.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { preferredMediaType } from "../PreferredMediaType.ts"
import { problemOf } from "../Problem.ts"
import { includedIn } from "../groups/Wire.ts"
import { type FramesOf, framesAfter, withDeltas } from "./DeltaFrames.ts"
import { textOfRun, withTurnText } from "./TurnText.ts"

/**
 * The answers to runs: an object or a stream, with the same content. A replayed request gets the same answer as the
 * first.
 */

/** The parts of a run that its answers need. It was accepted for this request or an earlier one. */
export type AnsweredRun = Pick<RunRecord, "id" | "sessionId" | "turnIndex" | "requestId">

/** What a client wants in the answer. */
export interface AnswerOptions {
  /** Whether the answer has token usage, cost and model, and a one-shot's the agent's session; by default it has not. */
  readonly usage?: boolean
  /** Whether the answer to a turn has the agent's words; by default it has not. */
  readonly text?: boolean
  /** Whether the answer to a turn, unless it is a stream, has the agent's messages; by default it has. */
  readonly events?: boolean
  /** Whether a stream has the answer's text in pieces, beside the messages; by default it has not. */
  readonly deltas?: boolean
}

/** The options that a request's query parameters ask for. */
export const optionsOf = (urlParams: {
  readonly include?: string | undefined
  readonly events?: "none" | undefined
  readonly deltas?: "0" | "1" | undefined
}): AnswerOptions => ({
  ...includedIn(urlParams.include),
  events: urlParams.events !== "none",
  deltas: urlParams.deltas === "1",
})

/** Makes the answer to a one-shot, with its keys in the order of v0.2. */
export const runAnswer = (report: Report, { usage = false }: AnswerOptions = {}) => ({
  ok: true as const,
  result: report.result,
  duration_ms: report.durationMs,
  stop_reason: report.stopReason,
  ...(usage
    ? {
        usage: report.usage,
        cost_usd: report.costUsd,
        model: report.model ?? null,
        session_id: report.sessionId ?? null,
      }
    : {}),
})

/** What the agent sent in a turn: its messages, or their text alone. Undefined if it is not stored any more. */
type TurnContent = ReadonlyArray<AcpMessage> | string | undefined

/** Makes the answer to a turn, with its keys in the order of v0.2. */
export const turnAnswer = (
  { sessionId, turnIndex }: AnsweredRun,
  report: Report,
  content: TurnContent,
  { usage = false, text = false, events = true }: AnswerOptions = {},
) => ({
  ok: true as const,
  session_id: sessionId ?? "",
  turn_index: turnIndex ?? 0,
  ...(events && typeof content === "object" ? { events: content } : {}),
  stop_reason: report.stopReason,
  duration_ms: report.durationMs,
  ...(text ? { text: typeof content === "object" ? textOfTurn(content) : (content ?? null) } : {}),
  ...(usage ? { usage: report.usage, cost_usd: report.costUsd, model: report.model ?? null } : {}),
})

/**
 * Makes the frame of an event of a run's stream. The same event gives the same bytes to every reader, early or late. A
 * turn's `text` is needed for a `result` that has it.
 */
export const runFrame = (
  run: AnsweredRun,
  event: StreamEvent | StreamGap,
  options: AnswerOptions = {},
  text?: string,
): Frame => {
  if (event.kind === "resync") return gapFrame(event)
  const { seq, kind, body } = event
  if (kind === "run" || kind === "message") return { seq, event: kind, data: body }
  return Either.match(decodeOutcome({ kind, body }), {
    onLeft: (failure) => ({ seq, event: "error", data: JSON.stringify(problemOf(failure, run.requestId)) }),
    onRight: (report) => ({
      seq,
      event: "result",
      data: JSON.stringify(resultData(run, report, options, text)),
    }),
  })
}

/** Makes the `result` event's data. A turn's messages are left out: they were sent before it. */
const resultData = (run: AnsweredRun, report: Report, options: AnswerOptions, text: string | undefined) =>
  run.sessionId === null ? runAnswer(report, options) : turnAnswer(run, report, text, options)

/** Whether the client prefers a stream to an object. False without a preference. */
export const prefersEvents = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  preferredMediaType(headers["accept"], ["application/json", EVENT_STREAM]) === EVENT_STREAM

/** Accepts a run. With `cancel`, the run is cancelled when its client disconnects before the answer is sent. */
export const cancelOnDisconnect = <A extends { readonly cancel: Effect.Effect<void> }, E, R>(
  onDisconnect: "continue" | "cancel",
  accept: Effect.Effect<A, E, R>,
) =>
  onDisconnect === "continue"
    ? accept
    : Effect.uninterruptible(
        // The request's scope closes when the answer is sent or the client is gone.
        Effect.tap(accept, ({ cancel }) => Effect.addFinalizer(() => cancel)),
      )

const withRunId = ({ id }: AnsweredRun) => HttpServerResponse.setHeader("x-run-id", id)

export const makeRunAnswers = Effect.gen(function* () {
  const journal = yield* Journal
  const runs = yield* Runs
  const streams = yield* OpenStreams

  /** Makes a response that sends a run's stream, whether or not the run has ended. */
  const stream = (
    request: HttpServerRequest.HttpServerRequest,
    viewer: Viewer,
    run: AnsweredRun,
    options: AnswerOptions = {},
    after: Position = { seq: 0 },
  ): HttpServerResponse.HttpServerResponse => {
    const frames: Frames = (reader) =>
      Effect.gen(function* () {
        const plain: FramesOf = (event) => [runFrame(run, event, options)]
        const framesOf = options.deltas === true ? withDeltas(run, plain, after) : plain
        if (options.deltas === true) {
          const rest = yield* framesAfter(journal, run, after, framesOf)
          if (rest.length > 0 && !reader.take(rest)) yield* reader.ready
        }
        yield* journal.follow(
          runScope(run.id),
          after.seq,
          options.text === true && run.sessionId !== null
            ? withTurnText(reader, textOfRun(journal, run.id), framesOf, (result, text) =>
                runFrame(run, result, options, text),
              )
            : flatMapConsumer(reader, framesOf),
        )
      })
    const bytesAfter = (seq: number) => journal.bytesAfter(run.id, seq)
    return streams.answer(request, viewer, { after: after.seq, frames, bytesAfter }).pipe(withRunId(run))
  }

  return {
    /** Makes the answer to the one-shot of an earlier request. Waits for its outcome. */
    run: (run: AnsweredRun, options?: AnswerOptions) =>
      runs.outcome(run.id).pipe(
        // No one-shot fails with it, and the route does not declare it.
        Effect.catchTag("TurnFailed", () => new RunDefect()),
        Effect.map((report) => runAnswer(report, options)),
      ),

    /** Makes the answer to the turn of an earlier request. Waits for its outcome. */
    turn: (run: AnsweredRun, options?: AnswerOptions) =>
      Effect.gen(function* () {
        const report = yield* runs.outcome(run.id)
        const isBare = options?.events === false && options.text !== true
        return turnAnswer(run, report, isBare ? undefined : yield* runs.messages(run.id), options)
      }),

    stream,

    /**
     * Makes a response that sends a run's stream from a position on, whether or not the run has ended. 204 if it has, and
     * nothing comes after the position: a browser's `EventSource` would ask for ever.
     */
    replay: (
      request: HttpServerRequest.HttpServerRequest,
      viewer: Viewer,
      run: RunRecord,
      after: Position,
      options: AnswerOptions,
    ) =>
      Effect.gen(function* () {
        const isOver =
          run.finishedAt !== null &&
          after.seq > 0 &&
          (yield* journal.read(runScope(run.id), after.seq)).length === 0
        if (!isOver) return stream(request, viewer, run, options, after)
        return HttpServerResponse.empty({ status: 204, headers: STREAM_HEADERS }).pipe(withRunId(run))
      }),
  }
})
