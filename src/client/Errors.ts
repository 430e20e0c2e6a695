import type { Issue } from "../domain/Failure.ts"
import type { Problem } from "../http/Problem.ts"

/** The client's errors, for Effect and for Promises: one class for each code. */

/** The codes of the service's problems. */
export type Code = Problem["code"]

/** The details of a failure. They never hold a token, nor the request that had it. */
export interface Known {
  /** The HTTP status; absent if there was no answer. */
  readonly status?: number | undefined
  /** The id of the request in the service's log. */
  readonly requestId?: string | undefined
  /** Whether the same request may succeed later although nothing is changed. */
  readonly retryable?: boolean | undefined
  /** Seconds to wait before the next request, as the service asks. */
  readonly retryAfterSecs?: number | undefined
  /** The problems of the request's fields, or of an answer that does not fit its `output_schema`. */
  readonly issues?: ReadonlyArray<Issue> | undefined
  /** The end of the agent's stderr, redacted. */
  readonly stderr?: string | undefined
  readonly exitCode?: number | undefined
  readonly durationMs?: number | undefined
  readonly stopReason?: string | undefined
}

const defined = (known: Known): Known =>
  Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined))

/** The base class of all failures of the client. Programs branch on `code`, or on the class. */
export abstract class ForgeError extends Error implements Known {
  abstract readonly code: string
  declare readonly status?: number
  declare readonly requestId?: string
  readonly retryable: boolean
  declare readonly retryAfterSecs?: number
  declare readonly issues?: ReadonlyArray<Issue>
  declare readonly stderr?: string
  declare readonly exitCode?: number
  declare readonly durationMs?: number
  declare readonly stopReason?: string

  constructor(message: string, known: Known = {}) {
    super(message)
    this.retryable = known.retryable ?? false
    Object.assign(this, defined(known))
  }
}

/** Makes the class of a code. `_tag`, by which `Effect.catchTag` selects, is the class's name. */
const classOf = <const C extends string, const N extends string>(code: C, name: N) => {
  class CodeError extends ForgeError {
    readonly code: C = code
    declare readonly _tag: N
  }
  Object.defineProperties(CodeError.prototype, { _tag: { value: name }, name: { value: name } })
  return CodeError
}

export class InvalidRequestError extends classOf("invalid_request", "InvalidRequestError") {}
export class ModelNotFoundError extends classOf("model_not_found", "ModelNotFoundError") {}
export class UnauthorizedError extends classOf("unauthorized", "UnauthorizedError") {}
export class IpNotAllowedError extends classOf("ip_not_allowed", "IpNotAllowedError") {}
export class OriginNotAllowedError extends classOf("origin_not_allowed", "OriginNotAllowedError") {}
export class NotFoundError extends classOf("not_found", "NotFoundError") {}
export class MethodNotAllowedError extends classOf("method_not_allowed", "MethodNotAllowedError") {}
export class NotAcceptableError extends classOf("not_acceptable", "NotAcceptableError") {}
export class RequestTimeoutError extends classOf("request_timeout", "RequestTimeoutError") {}
export class ConflictError extends classOf("conflict", "ConflictError") {}
export class SessionBusyError extends classOf("session_busy", "SessionBusyError") {}
export class IdempotencyConflictError extends classOf("idempotency_conflict", "IdempotencyConflictError") {}
export class GoneError extends classOf("gone", "GoneError") {}
export class SessionClosedError extends classOf("session_closed", "SessionClosedError") {}
export class PayloadTooLargeError extends classOf("payload_too_large", "PayloadTooLargeError") {}
export class UnsupportedMediaTypeError extends classOf(
  "unsupported_media_type",
  "UnsupportedMediaTypeError",
) {}
export class RateLimitedError extends classOf("rate_limited", "RateLimitedError") {}
export class QuotaExceededError extends classOf("quota_exceeded", "QuotaExceededError") {}
export class HeadersTooLargeError extends classOf("headers_too_large", "HeadersTooLargeError") {}
export class InternalError extends classOf("internal", "InternalError") {}
export class AgentUnavailableError extends classOf("agent_unavailable", "AgentUnavailableError") {}
export class TurnFailedError extends classOf("turn_failed", "TurnFailedError") {}
export class RunFailedError extends classOf("run_failed", "RunFailedError") {}
export class BillingError extends classOf("billing", "BillingError") {}
export class NotLoggedInError extends classOf("not_logged_in", "NotLoggedInError") {}
export class PoolFullError extends classOf("pool_full", "PoolFullError") {}
export class OverloadedError extends classOf("overloaded", "OverloadedError") {}
export class ShuttingDownError extends classOf("shutting_down", "ShuttingDownError") {}
export class TimeoutError extends classOf("timeout", "TimeoutError") {}

/** The service could not be reached, or the connection was lost before the answer was complete. */
export class ConnectionError extends classOf("connection_failed", "ConnectionError") {}

/** No answer came within the client's own deadline. */
export class DeadlineError extends classOf("deadline_exceeded", "DeadlineError") {}

/** The answer is not one of this API: a proxy's error page, or a service of another version. */
export class UnexpectedAnswerError extends classOf("unexpected_answer", "UnexpectedAnswerError") {}

/** The base URL or a token in the client's settings cannot be valid. */
export class SettingsError extends classOf("invalid_settings", "SettingsError") {}

/** The class of each code. A new code does not compile until it has its class. */
export const PROBLEM_ERRORS = {
  invalid_request: InvalidRequestError,
  model_not_found: ModelNotFoundError,
  unauthorized: UnauthorizedError,
  ip_not_allowed: IpNotAllowedError,
  origin_not_allowed: OriginNotAllowedError,
  not_found: NotFoundError,
  method_not_allowed: MethodNotAllowedError,
  not_acceptable: NotAcceptableError,
  request_timeout: RequestTimeoutError,
  conflict: ConflictError,
  session_busy: SessionBusyError,
  idempotency_conflict: IdempotencyConflictError,
  gone: GoneError,
  session_closed: SessionClosedError,
  payload_too_large: PayloadTooLargeError,
  unsupported_media_type: UnsupportedMediaTypeError,
  rate_limited: RateLimitedError,
  quota_exceeded: QuotaExceededError,
  headers_too_large: HeadersTooLargeError,
  internal: InternalError,
  agent_unavailable: AgentUnavailableError,
  turn_failed: TurnFailedError,
  run_failed: RunFailedError,
  billing: BillingError,
  not_logged_in: NotLoggedInError,
  pool_full: PoolFullError,
  overloaded: OverloadedError,
  shutting_down: ShuttingDownError,
  timeout: TimeoutError,
} as const satisfies {
  readonly [C in Code]: new (
    message: string,
    known?: Known,
  ) => ForgeError & { readonly code: C }
}

/** The error class of a problem's code. */
export type ErrorOf<C extends Code> = InstanceType<(typeof PROBLEM_ERRORS)[C]>

/** The failures of any request that are not an answer of the service. */
export type ClientError = ConnectionError | DeadlineError | UnexpectedAnswerError

/** All failures of a request or a stream. */
export type AnyError = ErrorOf<Code> | ClientError
