import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Either } from "effect"
import { RunDefect } from "../../domain/Failure.ts"
import { decodeOutcome, type Report } from "../../domain/Outcome.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import type { AcpMessage } from "../../services/agents/AcpxClient.ts"
import { Journal, runScope } from "../../services/journal/Journal.ts"
import { Runs } from "../../services/runs/Runs.ts"
import { EVENT_STREAM, type Frame, gapFrame } from "../sse/EventStream.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { preferred } from "../Preference.ts"
import { problemOf } from "../Problem.ts"

/**
 * The answers to a run: one object, or its stream. Both say the same, and a replayed request gets the same as the first.
 */

/** A run as its answers need it: accepted for this request or for an earlier one. */
export type AnsweredRun = Pick<RunRecord, "id" | "sessionId" | "turnIndex" | "requestId">

/** What a client wants in the answer. */
export interface AnswerOptions {
  /** Only events after that place. */
  readonly after?: number
  /** Whether the answer has tokens, cost, model and the agent's session. */
  readonly usage?: boolean
}

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

/** Makes the answer to a turn, with its keys in the order of v0.2. */
export const turnAnswer = (
  { sessionId, turnIndex }: AnsweredRun,
  report: Report,
  events: ReadonlyArray<AcpMessage>,
) => ({
  ok: true as const,
  session_id: sessionId ?? "",
  turn_index: turnIndex ?? 0,
  events,
  stop_reason: report.stopReason,
  duration_ms: report.durationMs,
})

/** Makes the frame of an event of a run's stream. A late reader gets the same bytes as one that was there. */
export const runFrame = (
  run: AnsweredRun,
  event: StreamEvent | StreamGap,
  options: AnswerOptions = {},
): Frame => {
  if (event.kind === "resync") return gapFrame(event)
  const { seq, kind, body } = event
  if (kind === "run" || kind === "message") return { seq, event: kind, data: body }
  return Either.match(decodeOutcome({ kind, body }), {
    onLeft: (failure) => ({ seq, event: "error", data: JSON.stringify(problemOf(failure, run.requestId)) }),
    onRight: (report) => ({ seq, event: "result", data: JSON.stringify(resultOf(run, report, options)) }),
  })
}

/** Makes the result of a stream. It has no messages: they were sent before it. */
const resultOf = (run: AnsweredRun, report: Report, options: AnswerOptions) => {
  if (run.sessionId === null) return runAnswer(report, options)
  const { events: _, ...rest } = turnAnswer(run, report, [])
  return rest
}

/** Whether the client prefers a stream to an object. Without a preference it gets the object. */
export const prefersEvents = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  preferred(headers["accept"], ["application/json", EVENT_STREAM]) === EVENT_STREAM

/** Accepts a run. With `cancel`, the run is cancelled when its client disconnects. */
export const cancelOnDisconnect = <A extends { readonly cancel: Effect.Effect<void> }, E, R>(
  onDisconnect: "continue" | "cancel",
  accept: Effect.Effect<A, E, R>,
) =>
  onDisconnect === "continue"
    ? accept
    : Effect.uninterruptible(
        // The request's scope closes when the answer is sent, or when the client is gone.
        Effect.tap(accept, ({ cancel }) => Effect.addFinalizer(() => cancel)),
      )

export const makeRunAnswers = Effect.gen(function* () {
  const journal = yield* Journal
  const runs = yield* Runs
  const streams = yield* OpenStreams

  return {
    /** Makes the answer to a one-shot that an earlier request was accepted as. Waits for its outcome. */
    run: (run: AnsweredRun, options?: AnswerOptions) =>
      runs.outcome(run.id).pipe(
        // No one-shot ends with it, and its route does not declare it.
        Effect.catchTag("TurnFailed", () => new RunDefect()),
        Effect.map((report) => runAnswer(report, options)),
      ),

    /** Makes the answer to a turn that an earlier request was accepted as. Waits for its outcome. */
    turn: (run: AnsweredRun) =>
      Effect.gen(function* () {
        const report = yield* runs.outcome(run.id)
        return turnAnswer(run, report, yield* runs.messages(run.id))
      }),

    /** Makes a response that sends the stream of a run, live or ended. */
    stream: (
      request: HttpServerRequest.HttpServerRequest,
      viewer: Viewer,
      run: AnsweredRun,
      options: AnswerOptions = {},
    ): HttpServerResponse.HttpServerResponse => {
      const { after = 0 } = options
      return streams
        .answer(request, viewer, {
          after,
          frames: ({ take, ready }) =>
            journal.follow(runScope(run.id), after, {
              take: (events) => take(events.map((event) => runFrame(run, event, options))),
              ready,
            }),
          bytesAfter: (after) => journal.bytesAfter(run.id, after),
        })
        .pipe(HttpServerResponse.setHeader("x-run-id", run.id))
    },
  }
})
