import { Clock, Effect } from "effect"
import {
  type Diagnosis,
  type ProviderFailure,
  type ProviderRefused,
  type ProcessFailed,
  RunTimedOut,
  type TurnFailed,
} from "../../domain/Failure.ts"
import { fieldsOf } from "../../domain/Json.ts"
import { providerFailureOf, type UsageLimit } from "./ProviderFailures.ts"

/** A wait of `claude` before it asks its provider again. */
interface Retry {
  readonly delayMs: number
  /** The HTTP status of the refusal; undefined when no answer came. */
  readonly status: number | undefined
  readonly kind: string | undefined
}

/** The failures that may be refusals of the provider. */
type Unexplained = ProviderRefused | ProcessFailed | TurnFailed

const textOr = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)
const numberOr = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)

/**
 * What `claude` says of its provider during one run or turn, in its own messages: of one-shots each line has one, of turns
 * its adapter wraps them. Any other message is ignored.
 */
export class ProviderSigns {
  #kind: string | undefined
  #limit: UsageLimit | undefined
  #retry: Retry | undefined
  #isWaiting = false

  /** Reads a message of `claude`. */
  readonly add = (message: unknown): void => {
    const fields = fieldsOf(message)
    switch (fields["type"]) {
      case "system":
        if (fields["subtype"] === "api_retry") {
          this.#retry = {
            delayMs: numberOr(fields["retry_delay_ms"]) ?? 0,
            status: numberOr(fields["error_status"]),
            kind: textOr(fields["error"]),
          }
          this.#isWaiting = true
        }
        break
      case "rate_limit_event": {
        const info = fieldsOf(fields["rate_limit_info"])
        const resetsAt = numberOr(info["resetsAt"])
        if (info["status"] === "rejected")
          this.#limit = {
            resetsAt: resetsAt === undefined ? undefined : resetsAt * 1000,
            name: textOr(info["rateLimitType"]),
          }
        break
      }
      case "assistant":
        this.#kind = textOr(fields["error"])
        this.#isWaiting = false
        break
      case "stream_event":
        this.#isWaiting = false
        break
      default:
    }
  }

  /** The provider answers: the agent does not wait any longer. */
  readonly answerBegins = (): void => {
    this.#isWaiting = false
  }

  /** Returns the failure of a run that exceeded its time. It says what the run waited for. */
  readonly timedOut = (timeoutSecs: number): RunTimedOut => {
    const retry = this.#isWaiting ? this.#retry : undefined
    return new RunTimedOut({ timeoutSecs, ...(retry === undefined ? {} : { waitedFor: waitOf(retry) }) })
  }

  /**
   * Returns the failure that names the provider's cause, or the failure itself when the provider did not refuse or gave
   * no cause.
   */
  readonly explain = <F extends { readonly _tag: string }>(
    failure: F,
    model: string | null,
  ): Effect.Effect<F | ProviderFailure> =>
    isUnexplained(failure)
      ? Effect.map(Clock.currentTimeMillis, (now) => {
          const report = {
            text: failure.reason,
            status: failure._tag === "ProviderRefused" ? failure.status : undefined,
            kind: (failure._tag === "TurnFailed" ? failure.kind : undefined) ?? this.#kind,
            limit: this.#limit,
            retryDelayMs: this.#retry?.delayMs,
            model,
            now,
          }
          return providerFailureOf(report, detailsOf(failure)) ?? failure
        })
      : Effect.succeed(failure)
}

const isUnexplained = (failure: { readonly _tag: string }): failure is Unexplained =>
  failure._tag === "ProviderRefused" || failure._tag === "ProcessFailed" || failure._tag === "TurnFailed"

const detailsOf = ({ stderr, exitCode, durationMs, stopReason }: Diagnosis): Diagnosis => ({
  ...(stderr === undefined ? {} : { stderr }),
  ...(exitCode === undefined ? {} : { exitCode }),
  ...(durationMs === undefined ? {} : { durationMs }),
  ...(stopReason === undefined ? {} : { stopReason }),
})

const waitOf = ({ status, kind, delayMs }: Retry): string => {
  const refusal = status === undefined ? "did not answer" : `had answered ${status}`
  const word = kind === undefined ? "" : ` (${kind})`
  return `the provider ${refusal}${word}, and the agent waited ${Math.ceil(delayMs / 1000)} s to ask again`
}
