import type { Issue } from "../domain/Failure.ts"
import type { Problem } from "../http/Problem.ts"

/** What a program that uses the service catches: one class for each code, for Effect and for Promises alike. */

/** The codes of the service's problems. */
export type Code = Problem["code"]

/** What is known of a failure. Never a token, nor the request that had it. */
export interface Known {
  /** The HTTP status; none: there was no answer. */
  readonly status?: number | undefined
  /** What the service's log has the request under. */
  readonly requestId?: string | undefined
  /** Whether the same request may succeed later without anybody changing anything. */
  readonly retryable?: boolean | undefined
  /** How long the service wants to be left alone. */
  readonly retryAfterSecs?: number | undefined
  /** What is wrong with the request, or with the answer to an `output_schema`. */
  readonly issues?: ReadonlyArray<Issue> | undefined
  /** The last that the agent wrote to its stderr, redacted. */
  readonly stderr?: string | undefined
  readonly exitCode?: number | undefined
  readonly durationMs?: number | undefined
  readonly stopReason?: string | undefined
}

const defined = (known: Known): Known =>
  Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined))

/** Whatever the client fails with: programs branch on `code`, or on the class. */
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

/** A class of its own for each code; `_tag` is what `Effect.catchTag` goes by, and its name. */
const classOf = <const C extends string, const N extends string>(code: C, name: N) => {
  class Of extends ForgeError {
    readonly code: C = code
    declare readonly _tag: N
  }
  Object.defineProperties(Of.prototype, { _tag: { value: name }, name: { value: name } })
  return Of
}

export class InvalidRequestError extends classOf("invalid_request", "InvalidRequestError") {}
export class UnauthorizedError extends classOf("unauthorized", "UnauthorizedError") {}
export class IpNotAllowedError extends classOf("ip_not_allowed", "IpNotAllowedError") {}
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
export class QuotaExceededError extends classOf("quota_exceeded", "QuotaExceededError") {}
export class HeadersTooLargeError extends classOf("headers_too_large", "HeadersTooLargeError") {}
export class InternalError extends classOf("internal", "InternalError") {}
export class AgentUnavailableError extends classOf("agent_unavailable", "AgentUnavailableError") {}
export class TurnFailedError extends classOf("turn_failed", "TurnFailedError") {}
export class RunFailedError extends classOf("run_failed", "RunFailedError") {}
export class NotLoggedInError extends classOf("not_logged_in", "NotLoggedInError") {}
export class PoolFullError extends classOf("pool_full", "PoolFullError") {}
export class OverloadedError extends classOf("overloaded", "OverloadedError") {}
export class ShuttingDownError extends classOf("shutting_down", "ShuttingDownError") {}
export class TimeoutError extends classOf("timeout", "TimeoutError") {}

/** The service could not be reached, or the connection was lost before there was a whole answer. */
export class ConnectionError extends classOf("connection_failed", "ConnectionError") {}

/** There was no answer within the client's own deadline. */
export class DeadlineError extends classOf("deadline_exceeded", "DeadlineError") {}

/** What answered does not speak as the service does: a proxy's error page, or a service of another version. */
export class UnexpectedAnswerError extends classOf("unexpected_answer", "UnexpectedAnswerError") {}

/** The client was given a base URL or a token that cannot be one. */
export class SettingsError extends classOf("invalid_settings", "SettingsError") {}

/** Each code's class; a new code does not compile until it has its own. */
export const PROBLEM_ERRORS = {
  invalid_request: InvalidRequestError,
  unauthorized: UnauthorizedError,
  ip_not_allowed: IpNotAllowedError,
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
  quota_exceeded: QuotaExceededError,
  headers_too_large: HeadersTooLargeError,
  internal: InternalError,
  agent_unavailable: AgentUnavailableError,
  turn_failed: TurnFailedError,
  run_failed: RunFailedError,
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

/** What a problem of that code is to the client. */
export type ErrorOf<C extends Code> = InstanceType<(typeof PROBLEM_ERRORS)[C]>

/** What can go wrong with any request, whatever the service says. */
export type ClientError = ConnectionError | DeadlineError | UnexpectedAnswerError

/** Everything that a request or a stream can fail with. */
export type AnyError = ErrorOf<Code> | ClientError
