import { Duration, Effect } from "effect"
import { DeadlineError } from "./Errors.ts"
import type { CheckedSettings } from "./Settings.ts"

/** How long the client waits for an answer. */

/** A request of any route, with the parts that the declaration may give it. */
export interface AnyRequest {
  readonly path?: Readonly<Record<string, string>> | undefined
  readonly urlParams?: Readonly<Record<string, unknown>> | undefined
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
  readonly payload?: unknown
}

/** For routes that answer at once. */
const DEFAULT_SECS = 30
/** The answer of a run may take this much longer than its queue and its work. */
const SLACK_SECS = 30
/** The service allows one minute for each mebibyte of an upload, and so does the client. */
const SECS_PER_MEBIBYTE = 60

/** For routes that start or end processes, or that work through the whole log. */
const ROUTE_SECS: Readonly<Record<string, number>> = {
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

/** The seconds within which a route has to answer this request. */
export const deadlineSecs = (endpoint: string, request: AnyRequest, settings: CheckedSettings): number => {
  if (endpoint === "upload") {
    return DEFAULT_SECS + SECS_PER_MEBIBYTE * (1 + Math.ceil(bytesIn(request.payload) / 2 ** 20))
  }
  if (endpoint === "run" || endpoint === "takeTurn") {
    const { timeout_secs } = (request.payload ?? {}) as { readonly timeout_secs?: number | null }
    return (timeout_secs ?? settings.defaultTimeoutSecs) + settings.queueWaitSecs + SLACK_SECS
  }
  return ROUTE_SECS[endpoint] ?? DEFAULT_SECS
}

/** Fails with `DeadlineError` if the effect takes longer. */
export const withDeadline =
  (secs: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | DeadlineError, R> =>
    Effect.timeoutFail(effect, {
      duration: Duration.seconds(secs),
      onTimeout: () => new DeadlineError(`there was no answer within ${secs} s`, { retryable: true }),
    })
