import { Cause, Exit, Option } from "effect"
import { type Diagnosis, diagnosed, type RunFailure, type TurnFailure } from "../../domain/Failure.ts"
import type { Report } from "../../domain/Outcome.ts"
import type { EndStatus, RunEnded } from "../../domain/Run.ts"
import type { AcpMessage } from "../agents/AcpxClient.ts"
import type { ClaudeAnswer } from "../agents/claude/ClaudeAnswer.ts"

/** The report of a one-shot. */
export interface RunReport extends Report {
  /** The text, or the value that fits the output schema. */
  readonly result: unknown
  readonly model: string | null
  readonly sessionId: string | null
}

/** The report of a turn. */
export interface TurnReport extends Report {
  /** The agent's messages of the turn, in order; the last is the result. Empty if it was cancelled before its start. */
  readonly events: ReadonlyArray<AcpMessage>
}

/** The report of a turn whose messages may be too many to be held in memory: then they are in the journal only. */
export type PartialTurnReport = Omit<TurnReport, "events"> & Partial<Pick<TurnReport, "events">>

/** Makes the report of a one-shot that was answered. */
export const reportOf = (answer: ClaudeAnswer, result: unknown, durationMs: number): RunReport => ({
  result,
  durationMs,
  stopReason: answer.stopReason,
  responseChars: answer.text.length,
  usage: answer.usage,
  costUsd: answer.costUsd,
  model: answer.model,
  sessionId: answer.sessionId,
})

/** Makes the report of a one-shot that was cancelled. Its result is the text that was there by then. */
export const cancelledReport = (text: string, durationMs: number): RunReport => ({
  result: text,
  durationMs,
  stopReason: "cancelled",
  responseChars: text.length,
  usage: null,
  costUsd: null,
  model: null,
  sessionId: null,
})

/** Adds the duration of the run to a failure, if that failure has a duration. */
export const withDuration = <F extends RunFailure | TurnFailure>(
  failure: F,
  durationMs: number | null,
): F => {
  switch (failure._tag) {
    case "Unauthorized":
    case "FileNotFound":
    case "Overloaded":
    case "ShuttingDown":
    case "StorageFailed":
      return failure
    default:
      return durationMs === null ? failure : diagnosed(failure as F & Diagnosis & Error, { durationMs })
  }
}

/** Makes the ledger's record of an outcome. A cause without a failure is a cancelled run or a bug. */
export const recordOfOutcome = (
  exit: Exit.Exit<Report, RunFailure | TurnFailure>,
  durationMs: number | null,
): RunEnded => {
  const unanswered = { durationMs, stopReason: null, responseChars: null, usage: null, costUsd: null }
  return Exit.match(exit, {
    // Field by field: the ledger must not get the answer.
    onSuccess: ({ stopReason, durationMs, responseChars, usage, costUsd, model, agentCostUsd }) => ({
      status: stopReason === "cancelled" ? ("cancelled" as const) : ("completed" as const),
      code: null,
      stopReason,
      durationMs,
      responseChars,
      usage,
      costUsd,
      model: model ?? null,
      agentCostUsd: agentCostUsd ?? null,
    }),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: (failure) => ({
          ...unanswered,
          status: STATUS_OF[failure._tag] ?? "failed",
          code: failure.code,
          stopReason: (failure as Diagnosis).stopReason ?? null,
        }),
        onNone: () =>
          Cause.isInterruptedOnly(cause)
            ? { ...unanswered, status: "cancelled" as const, code: null, stopReason: "cancelled" }
            : { ...unanswered, status: "failed" as const, code: "internal" },
      }),
  })
}

const STATUS_OF: Readonly<Partial<Record<(RunFailure | TurnFailure)["_tag"], EndStatus>>> = {
  RunTimedOut: "timed_out",
  ShuttingDown: "cancelled",
  Unauthorized: "cancelled",
}
