import { Effect, Option } from "effect"
import {
  type AgentFailure,
  NotLoggedIn,
  OutputGarbled,
  ProcessFailed,
  ProcessKilled,
  ProviderRefused,
} from "../../../domain/Failure.ts"
import { type Confidential, redact, tail } from "../../../domain/Redaction.ts"
import type { Usage } from "../../../domain/Run.ts"
import type { ProcessExit } from "../Processes.ts"
import type { ResultMessage } from "./Protocol.ts"

/** A prompt's answer, as the CLI gave it. */
export interface ClaudeAnswer {
  readonly text: string
  /** The value that its structured output made, where that was asked for and done. */
  readonly structured: Option.Option<unknown>
  readonly stopReason: string
  readonly usage: Usage
  readonly costUsd: number
  readonly model: string | null
  readonly sessionId: string | null
}

/** What is known when the CLI has said its last word. */
export interface LastWords {
  readonly result: Option.Option<ResultMessage>
  /** Absent while the process is still there. */
  readonly exit: Option.Option<ProcessExit>
  readonly stderr: string
  /** Lines on stdout that were not of its protocol. */
  readonly strayLines: number
  readonly confidential: Confidential
}

const REASON_MAX = 500
const STDERR_MAX = 2000

/** An answer, or the one failure that explains why there is none. */
export const outcomeOf = (last: LastWords): Effect.Effect<ClaudeAnswer, AgentFailure> => {
  const { result } = last
  if (Option.isNone(result)) return Effect.fail(withoutResult(last))
  const message = result.value
  if (message.is_error) return Effect.fail(refusal(message, last))
  if (typeof message.result !== "string") {
    return Effect.fail(new OutputGarbled({ reason: "its result has no text", ...diagnosis(last) }))
  }
  return Effect.succeed(answer(message, message.result))
}

const answer = (message: ResultMessage, text: string): ClaudeAnswer => ({
  text,
  structured: Option.fromNullable(message.structured_output),
  // Structured output ends with a call of the CLI's own tool: for the caller, that is the end of the turn.
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

/** The CLI reported a failure. API errors come with an HTTP status, or as a connection that failed. */
const refusal = (message: ResultMessage, last: LastWords): AgentFailure => {
  const said = message.result ?? message.errors?.join("; ") ?? message.subtype ?? "no reason given"
  const reason = tail(redact(said, last.confidential), REASON_MAX)
  const known = diagnosis(last, message.stop_reason)
  if (message.api_error_status != null) {
    return new ProviderRefused({ status: message.api_error_status, reason, ...known })
  }
  if (LOGIN_NEEDED.test(said)) return new NotLoggedIn(known)
  return message.api_error == null
    ? new ProcessFailed({ reason, ...known })
    : new ProviderRefused({ reason, ...known })
}

/** The CLI would not take the model: the provider does not know it, or could not be asked. */
export const modelRefusal = (said: {
  readonly error?: string | null | undefined
  readonly error_code?: string | null | undefined
}): NotLoggedIn | ProviderRefused => {
  const reason = said.error ?? "no reason given"
  if (LOGIN_NEEDED.test(reason)) return new NotLoggedIn({})
  return new ProviderRefused({ ...(said.error_code === "not_found" ? { status: 404 } : {}), reason })
}

/** What the CLI says without a login: of a prompt, and of a model that it would have to ask for. */
const LOGIN_NEEDED = /not logged in|please run \/login|could not resolve authentication method/i

const withoutResult = (last: LastWords): AgentFailure => {
  const exit = Option.getOrElse(last.exit, (): ProcessExit => ({ code: null, signal: null }))
  const known = diagnosis(last)
  const signal = exit.signal ?? SIGNAL_CODES.get(exit.code ?? 0)
  if (signal !== undefined) return new ProcessKilled({ signal, ...known })
  if (exit.code !== 0) return new ProcessFailed({ reason: `it exited with code ${exit.code}`, ...known })
  return new OutputGarbled({
    reason:
      last.strayLines > 0 ? "what it printed is not its protocol" : "it exited without printing an answer",
    ...known,
  })
}

/** Exit codes of a process that caught a signal and left, as a shell would report it: 128 + its number. */
const SIGNAL_CODES = new Map([
  [129, "SIGHUP"],
  [130, "SIGINT"],
  [134, "SIGABRT"],
  [137, "SIGKILL"],
  [139, "SIGSEGV"],
  [143, "SIGTERM"],
])

const diagnosis = (last: LastWords, stopReason?: string | null) => {
  const stderr = tail(redact(last.stderr.trim(), last.confidential), STDERR_MAX)
  const code = Option.getOrUndefined(last.exit)?.code
  return {
    ...(stderr === "" ? {} : { stderr }),
    ...(code == null ? {} : { exitCode: code }),
    ...(stopReason == null ? {} : { stopReason }),
  }
}
