import { Duration, Effect } from "effect"
import { type AnyError, ConnectionError, UnexpectedAnswerError } from "./Errors.ts"

/** When the client sends a request again, and after which pause. */

/** How often a request is sent again. */
export const RETRIES_MAX = 3
/** A longer `Retry-After` is left to the caller: the client does not retry. */
const RETRY_AFTER_MAX_SECS = 10
const FIRST_MILLIS = 200
const LONGEST_MILLIS = 5000

/** The pause before the n-th retry, counted from 0: exponential, and at least the service's `Retry-After`. */
export const retryDelay = (n: number, error: AnyError): Duration.Duration => {
  const own = Math.min(FIRST_MILLIS * 2 ** n, LONGEST_MILLIS)
  const theirs = Math.min(error.retryAfterSecs ?? 0, RETRY_AFTER_MAX_SECS) * 1000
  return Duration.millis(Math.max(own, theirs))
}

/** Whether the service, or a proxy before it, may have been away for a moment only. */
export const isTransient = (error: AnyError): boolean =>
  error.retryable &&
  (error.retryAfterSecs ?? 0) <= RETRY_AFTER_MAX_SECS &&
  (error instanceof ConnectionError || error instanceof UnexpectedAnswerError || error.status === 503)

/** Runs the effect again after a transient failure, up to `RETRIES_MAX` times. */
export const withRetries = <A, R>(
  effect: Effect.Effect<A, AnyError, R>,
  n: number = 0,
): Effect.Effect<A, AnyError, R> =>
  Effect.catchIf(
    effect,
    (error) => n < RETRIES_MAX && isTransient(error),
    (error) => Effect.zipRight(Effect.sleep(retryDelay(n, error)), withRetries(effect, n + 1)),
  )
