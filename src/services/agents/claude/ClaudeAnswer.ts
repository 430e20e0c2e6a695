import { Effect, Option } from "effect"
import {
  type AgentFailure,
  OutputGarbled,
  ProcessFailed,
  ProcessKilled,
  ProviderRefused,
} from "../../../domain/Failure.ts"
import { type Confidential, redact, tail } from "../../../domain/Redaction.ts"
import type { Usage } from "../../../domain/Run.ts"
import type { ProcessExit } from "../Processes.ts"
import type { ResultMessage } from "./Protocol.ts"

/** The CLI's answer to a prompt. */
export interface ClaudeAnswer {
  readonly text: string
  /** The value of the CLI's structured output. None when no schema was sent, or the CLI gave no value. */
  readonly structured: Option.Option<unknown>
  readonly stopReason: string
  readonly usage: Usage
  readonly costUsd: number
  readonly model: string | null
  readonly sessionId: string | null
}

/** What is known of a run of the CLI when its result has come, or its output has ended without one. */
export interface FinishedRun {
  readonly result: Option.Option<ResultMessage>
  /** None while the process is still running. */
  readonly exit: Option.Option<ProcessExit>
  readonly stderr: string
  /** The number of lines on stdout that were no messages of its protocol. */
  readonly strayLines: number
  readonly confidential: Confidential
}

const REASON_MAX_CHARS = 500
const STDERR_MAX_CHARS = 2000

/** The answer of a run. Fails with the one failure that explains why there is no answer. */
export const answerOf = (run: FinishedRun): Effect.Effect<ClaudeAnswer, AgentFailure> => {
  const { result } = run
  if (Option.isNone(result)) return Effect.fail(failureWithoutResult(run))
  const message = result.value
  if (message.is_error) return Effect.fail(reportedFailure(message, run))
  if (typeof message.result !== "string") {
    return Effect.fail(new OutputGarbled({ reason: "its result has no text", ...diagnosis(run) }))
  }
  return Effect.succeed(toAnswer(message, message.result))
}

const toAnswer = (message: ResultMessage, text: string): ClaudeAnswer => ({
  text,
  structured: Option.fromNullable(message.structured_output),
  // Structured output ends with a call of the CLI's own tool. For the caller, that is the end of the turn.
  stopReason:
    message.stop_reason == null || message.stop_reason === "tool_use" ? "end_turn" : message.stop_reason,
  usage: {
    input_tokens: message.usage?.input_tokens ?? 0,
    output_tokens: message.usage?.output_tokens ?? 0,
    cache_creation_input_tokens: message.usage?.cache_creation_input_tokens ?? 0,
    cache_read_input_tokens: message.usage?.cache_read_input_tokens ?? 0,
  },
  costUsd: message.total_cost_usd ?? 0,
  model: Object.keys(message.modelUsage ?? {})[0] ?? null,
  sessionId: message.session_id ?? null,
})

/**
 * The failure that the CLI reported in its result. An API error has an HTTP status, or a failed connection. Why the
 * provider refused is for `ProviderSigns` to say.
 */
const reportedFailure = (message: ResultMessage, run: FinishedRun): AgentFailure => {
  const text = message.result ?? message.errors?.join("; ") ?? message.subtype ?? "no reason given"
  const reason = tail(redact(text, run.confidential), REASON_MAX_CHARS)
  const details = diagnosis(run, message.stop_reason)
  if (message.api_error_status != null) {
    return new ProviderRefused({ status: message.api_error_status, reason, ...details })
  }
  return message.api_error == null
    ? new ProcessFailed({ reason, ...details })
    : new ProviderRefused({ reason, ...details })
}

/** The failure for a refused `set_model`: the provider does not know the model, or could not be asked. */
export const modelRefusal = (response: {
  readonly error?: string | null | undefined
  readonly error_code?: string | null | undefined
}): ProviderRefused =>
  new ProviderRefused({
    ...(response.error_code === "not_found" ? { status: 404 } : {}),
    reason: response.error ?? "no reason given",
  })

const failureWithoutResult = (run: FinishedRun): AgentFailure => {
  const exit = Option.getOrElse(run.exit, (): ProcessExit => ({ code: null, signal: null }))
  const details = diagnosis(run)
  const signal = exit.signal ?? SIGNAL_CODES.get(exit.code ?? 0)
  if (signal !== undefined) return new ProcessKilled({ signal, ...details })
  if (exit.code !== 0) return new ProcessFailed({ reason: `it exited with code ${exit.code}`, ...details })
  return new OutputGarbled({
    reason:
      run.strayLines > 0 ? "what it printed is not its protocol" : "it exited without printing an answer",
    ...details,
  })
}

/** Exit codes of processes that caught a signal and exited, as shells report it: 128 + the signal's number. */
const SIGNAL_CODES = new Map([
  [129, "SIGHUP"],
  [130, "SIGINT"],
  [134, "SIGABRT"],
  [137, "SIGKILL"],
  [139, "SIGSEGV"],
  [143, "SIGTERM"],
])

const diagnosis = (run: FinishedRun, stopReason?: string | null) => {
  const stderr = tail(redact(run.stderr.trim(), run.confidential), STDERR_MAX_CHARS)
  const code = Option.getOrUndefined(run.exit)?.code
  return {
    ...(stderr === "" ? {} : { stderr }),
    ...(code == null ? {} : { exitCode: code }),
    ...(stopReason == null ? {} : { stopReason }),
  }
}
