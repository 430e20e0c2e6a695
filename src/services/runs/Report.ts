import { Cause, Exit, Option } from "effect"
import { type Diagnosis, diagnosed, type RunFailure, type TurnFailure } from "../../domain/Failure.ts"
import type { KeptReport } from "../../domain/Outcome.ts"
import type { EndStatus, RunEnded } from "../../domain/Run.ts"
import type { ClaudeAnswer } from "../agents/claude/Outcome.ts"

/** What a run gave. */
export interface RunReport extends KeptReport {
  readonly result: unknown
  readonly model: string | null
  readonly sessionId: string | null
}

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

/** What a run gave that was cancelled: the text so far. */
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

/** The failure, knowing how long the run had been at work. */
export const timed = <F extends RunFailure | TurnFailure>(failure: F, durationMs: number | null): F => {
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

/** How a run ended, for the ledger. A cause that is no failure is a cancelled run, or a bug. */
export const endOf = (
  exit: Exit.Exit<KeptReport, RunFailure | TurnFailure>,
  durationMs: number | null,
): RunEnded => {
  const unanswered = { durationMs, stopReason: null, responseChars: null, usage: null, costUsd: null }
  return Exit.match(exit, {
    // Field by field: what the ledger is given must not hold the answer.
    onSuccess: ({ stopReason, durationMs, responseChars, usage, costUsd }) => ({
      status: stopReason === "cancelled" ? ("cancelled" as const) : ("completed" as const),
      code: null,
      stopReason,
      durationMs,
      responseChars,
      usage,
      costUsd,
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
