import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Either, Stream } from "effect"
import { type AnswerGone, RunDefect, type StorageFailed } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import { type KeptFailure, type KeptReport, outcomeOf } from "../../domain/Outcome.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { AcpMessage } from "../../services/agents/AcpxClient.ts"
import { EventLog } from "../../services/journal/EventLog.ts"
import { EVENT_STREAM, type Frame, framesOf, gapFrame } from "../sse/EventStream.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { preferred } from "../Preference.ts"
import { problemOf } from "../Problem.ts"

/** How a run is answered: with one object, or with its stream. Both say the same, now and when they are asked again. */

/** A run that was accepted, for this request or for another. */
export type Accepted = Pick<RunRecord, "id" | "sessionId" | "turnIndex" | "requestId">

/** What a client wants to read of it. */
export interface Wanted {
  /** Only what came after that event. */
  readonly after?: number
  readonly usage?: boolean
}

/** The answer to a one-shot, in v0.2's order. */
export const runAnswer = (report: KeptReport, { usage = false }: Wanted = {}) => ({
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

/** The answer to a turn, in v0.2's order. */
export const turnAnswer = (
  { sessionId, turnIndex }: Accepted,
  report: KeptReport,
  events: ReadonlyArray<AcpMessage>,
) => ({
  ok: true as const,
  session_id: sessionId ?? "",
  turn_index: turnIndex ?? 0,
  events,
  stop_reason: report.stopReason,
  duration_ms: report.durationMs,
})

/** An event of a run's stream on the wire: the same bytes for one who was there as for one who is late. */
export const frameOf = (run: Accepted, event: StreamEvent | StreamGap, wanted: Wanted = {}): Frame => {
  if (event.kind === "resync") return gapFrame(event)
  const { seq, kind, body } = event
  if (kind === "run" || kind === "message") return { seq, event: kind, data: body }
  return Either.match(outcomeOf({ kind, body }), {
    onLeft: (failure) => ({ seq, event: "error", data: JSON.stringify(problemOf(failure, run.requestId)) }),
    onRight: (report) => ({ seq, event: "result", data: JSON.stringify(resultOf(run, report, wanted)) }),
  })
}

/** A turn's messages have been sent when its result is. */
const resultOf = (run: Accepted, report: KeptReport, wanted: Wanted) => {
  if (run.sessionId === null) return runAnswer(report, wanted)
  const { events: _, ...rest } = turnAnswer(run, report, [])
  return rest
}

/** Whether the client would rather have a stream than an object; who does not care gets the object. */
export const prefersEvents = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  preferred(headers["accept"], ["application/json", EVENT_STREAM]) === EVENT_STREAM

/** Accepts a run, which is cancelled when its client goes away, if that is what he wants. */
export const unlessGone = <A extends { readonly cancel: Effect.Effect<void> }, E, R>(
  silent: "continue" | "cancel",
  accept: Effect.Effect<A, E, R>,
) =>
  silent === "continue"
    ? accept
    : Effect.uninterruptible(
        // The request's scope: it closes when all is sent, or when nobody is there any more.
        Effect.tap(accept, ({ cancel }) => Effect.addFinalizer(() => cancel)),
      )

export const makeRunAnswers = Effect.gen(function* () {
  const log = yield* EventLog
  const streams = yield* OpenStreams

  /** Waits for the end of a run that may be anybody's, or over for long. */
  const reported = (run: Accepted): Effect.Effect<KeptReport, KeptFailure | AnswerGone | StorageFailed> =>
    Effect.flatMap(log.endOf(run.id), outcomeOf)

  return {
    /** The answer to a one-shot that was accepted, whoever asked. */
    runAgain: (run: Accepted, wanted?: Wanted) =>
      reported(run).pipe(
        // No one-shot ends so: its route does not tell of it.
        Effect.catchTag("TurnFailed", () => new RunDefect()),
        Effect.map((report) => runAnswer(report, wanted)),
      ),

    /** The answer to a turn that was accepted, whoever asked. */
    turnAgain: (run: Accepted) =>
      Effect.gen(function* () {
        const report = yield* reported(run)
        const events = (yield* log.messages(run.id)) as ReadonlyArray<AcpMessage>
        return turnAnswer(run, report, events)
      }),

    /** The stream of a run, live or over; `reader` is whose token opens it, undefined the operator's. */
    stream: (
      request: HttpServerRequest.HttpServerRequest,
      reader: TokenId | undefined,
      run: Accepted,
      wanted: Wanted = {},
    ): HttpServerResponse.HttpServerResponse =>
      streams
        .answer(request, reader, {
          after: wanted.after ?? 0,
          frames: framesOf(
            Stream.map(log.stream(run.id, wanted.after), (event) => frameOf(run, event, wanted)),
          ),
          bytesAfter: (after) => log.bytesAfter(run.id, after),
        })
        .pipe(HttpServerResponse.setHeader("x-run-id", run.id)),
  }
})
