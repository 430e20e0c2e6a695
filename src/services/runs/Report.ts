import { Cause, Exit, Option } from "effect"
import type { Diagnosis, RunFailure } from "../../domain/Failure.ts"
import type { RunEnded, Usage } from "../../domain/Run.ts"
import type { ClaudeAnswer } from "../claude/Outcome.ts"

/** What a run gave. */
export interface RunReport {
  readonly result: unknown
  /** From its start to its answer; the time in the queue is not counted. */
  readonly durationMs: number
  readonly stopReason: string
  readonly responseChars: number
  readonly usage: Usage
  readonly costUsd: number
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

const nothing = { stopReason: null, durationMs: null, responseChars: null, usage: null, costUsd: null }

/** How a run ended, for the ledger. A cause that is no failure is a cancelled run, or a bug. */
export const endOf = (exit: Exit.Exit<RunReport, RunFailure>): RunEnded =>
  Exit.match(exit, {
    // Field by field: what the ledger is given must not hold the answer.
    onSuccess: ({ stopReason, durationMs, responseChars, usage, costUsd }) => ({
      status: "completed" as const,
      code: null,
      stopReason,
      durationMs,
      responseChars,
      usage,
      costUsd,
    }),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: failureEnd,
        onNone: () =>
          Cause.isInterruptedOnly(cause)
            ? { ...nothing, status: "cancelled" as const, code: null, stopReason: "cancelled" }
            : { ...nothing, status: "failed" as const, code: "internal" },
      }),
  })

const failureEnd = (failure: RunFailure): RunEnded => {
  const known: Diagnosis = failure._tag === "ShuttingDown" || failure._tag === "StorageFailed" ? {} : failure
  return {
    ...nothing,
    durationMs: known.durationMs ?? null,
    stopReason: known.stopReason ?? null,
    status:
      failure._tag === "RunTimedOut" ? "timed_out" : failure._tag === "ShuttingDown" ? "cancelled" : "failed",
    code: failure.code,
  }
}
