import { Duration, Effect } from "effect"
import { type AnyError, ConnectionError, DeadlineError, UnexpectedAnswerError } from "./Errors.ts"
import type { Checked } from "./Settings.ts"

/** How long the client waits, and when it asks again. */

/** What a request that is derived from the declaration may hold. */
export interface AnyRequest {
  readonly path?: Readonly<Record<string, string>> | undefined
  readonly urlParams?: Readonly<Record<string, unknown>> | undefined
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
  readonly payload?: unknown
}

/** For what answers at once. */
const USUAL_SECS = 30
/** What an answer may take longer than the work itself. */
const SLACK_SECS = 30
/** The service waits a minute for a mebibyte of an upload, and so does the client. */
const SECS_PER_MEBIBYTE = 60

/** Of routes that start or end processes, or that work through the whole log. */
const LONGER: Readonly<Record<string, number>> = {
  openSession: 180,
  closeSession: 60,
  cancelRun: 60,
  cancelTurns: 60,
  revokeToken: 60,
  maintainEvents: 280,
}

const bytesIn = (form: unknown): number => {
  if (!(form instanceof FormData)) return 0
  return [...form.values()].reduce((sum, value) => sum + (typeof value === "string" ? 0 : value.size), 0)
}

/** Within how many seconds a route has to have answered. */
export const deadlineSecs = (endpoint: string, request: AnyRequest, settings: Checked): number => {
  if (endpoint === "upload") {
    return USUAL_SECS + SECS_PER_MEBIBYTE * (1 + Math.ceil(bytesIn(request.payload) / 2 ** 20))
  }
  if (endpoint === "run" || endpoint === "takeTurn") {
    const asked = (request.payload as { readonly timeout_secs?: number | null } | undefined)?.timeout_secs
    return (asked ?? settings.defaultTimeoutSecs) + settings.queueWaitSecs + SLACK_SECS
  }
  return LONGER[endpoint] ?? USUAL_SECS
}

export const withDeadline =
  (secs: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | DeadlineError, R> =>
    Effect.timeoutFail(effect, {
      duration: Duration.seconds(secs),
      onTimeout: () => new DeadlineError(`there was no answer within ${secs} s`, { retryable: true }),
    })

/** How often a request is sent again. */
export const AGAIN_MAX = 3
/** Whoever wants to be left alone for longer is left alone by the caller. */
const RETRY_AFTER_MAX_SECS = 10
const FIRST_MILLIS = 200
const LONGEST_MILLIS = 5000

/** How long to wait before the n-th time, from 0, that something is asked again. */
export const backOff = (n: number, error: AnyError): Duration.Duration => {
  const own = Math.min(FIRST_MILLIS * 2 ** n, LONGEST_MILLIS)
  const theirs = Math.min(error.retryAfterSecs ?? 0, RETRY_AFTER_MAX_SECS) * 1000
  return Duration.millis(Math.max(own, theirs))
}

/** Whether the service, or what is before it, may have been away for a moment. */
export const isPassing = (error: AnyError): boolean =>
  error.retryable &&
  (error.retryAfterSecs ?? 0) <= RETRY_AFTER_MAX_SECS &&
  (error instanceof ConnectionError || error instanceof UnexpectedAnswerError || error.status === 503)

/** Asks again, a few times, what may be asked again. */
export const again = <A, R>(
  effect: Effect.Effect<A, AnyError, R>,
  n: number = 0,
): Effect.Effect<A, AnyError, R> =>
  Effect.catchIf(
    effect,
    (error) => n < AGAIN_MAX && isPassing(error),
    (error) => Effect.zipRight(Effect.sleep(backOff(n, error)), again(effect, n + 1)),
  )
