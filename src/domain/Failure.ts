import { Schema } from "effect"

/**
 * The failures of the service. `code` is the stable name that programs branch on: it is in error bodies and in the
 * ledger. `http/Problem.ts` says what HTTP answers to each.
 */

/** One fault of an input or an answer: where it is, and what is expected there. It never has the value. */
export const Issue = Schema.Struct({
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  message: Schema.String,
})
export type Issue = typeof Issue.Type

/** Returns a schema's message for a value that does not fit. The framework's own message would quote the value. */
export const expected = (message: string) => () => ({ message, override: true })

// --- requests -----------------------------------------------------------------------------------------------

/** The input breaks a rule that its schema cannot state. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  issues: Schema.Array(Issue),
}) {
  readonly code = "invalid_request"
}

/**
 * No token, a wrong scheme, an unknown or a revoked token. Deliberately one failure: a client cannot tell which. `wanted` is
 * there only when the bearer is the operator's, who may know, and an app's is wanted.
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {
  wanted: Schema.optional(Schema.Literal("app")),
}) {
  readonly code = "unauthorized"
}

/**
 * The client's address is outside the service's allowlist or the token's own, or it is not known: an undeclared proxy
 * forwards for it, or a proxy forwards for an address that cannot be read.
 */
export class AddressNotAllowed extends Schema.TaggedError<AddressNotAllowed>()("AddressNotAllowed", {
  by: Schema.Literal("service", "token", "undeclared_proxy", "unreadable_hop"),
}) {
  readonly code = "ip_not_allowed"
}

/**
 * A web page of an origin that is neither the service's own nor allowed sent the request, or the request names a host that
 * could be anybody's.
 */
export class OriginNotAllowed extends Schema.TaggedError<OriginNotAllowed>()("OriginNotAllowed", {
  by: Schema.Literal("origin", "host"),
}) {
  readonly code = "origin_not_allowed"
}

export class TokenNotFound extends Schema.TaggedError<TokenNotFound>()("TokenNotFound", {}) {
  readonly code = "not_found"
}

/** There is no such uploaded file, it is another app's, or it has expired. */
export class FileNotFound extends Schema.TaggedError<FileNotFound>()("FileNotFound", {}) {
  readonly code = "not_found"
}

/** There is no such session, it is another app's, or it was deleted. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {}) {
  readonly code = "not_found"
}

/** The app's session is closed and takes no turn. */
export class SessionClosed extends Schema.TaggedError<SessionClosed>()("SessionClosed", {}) {
  readonly code = "session_closed"
}

/** The queue of the session is full. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {
  limit: Schema.Number,
}) {
  readonly code = "session_busy"
}

/** All places for sessions are taken, of all apps together. */
export class PoolFull extends Schema.TaggedError<PoolFull>()("PoolFull", { limit: Schema.Number }) {
  readonly code = "pool_full"
}

/** An upload is larger than the limit for one file. */
export class FileTooLarge extends Schema.TaggedError<FileTooLarge>()("FileTooLarge", {
  limit: Schema.Number,
}) {
  readonly code = "payload_too_large"
}

/** The app's uploads together would exceed its quota. Some expire in `retryAfterSecs`. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  limit: Schema.Number,
  retryAfterSecs: Schema.Number,
}) {
  readonly code = "quota_exceeded"
}

/** A token of that name is in force. */
export class TokenNameTaken extends Schema.TaggedError<TokenNameTaken>()("TokenNameTaken", {
  name: Schema.String,
}) {
  readonly code = "conflict"
}

// --- runs ---------------------------------------------------------------------------------------------------

const diagnosis = {
  stderr: Schema.optional(Schema.String),
  exitCode: Schema.optional(Schema.Number),
  durationMs: Schema.optional(Schema.Number),
  stopReason: Schema.optional(Schema.String),
}

/** Details of a failed run. `stderr` is the end of the error output, without secrets and without the prompt. */
export interface Diagnosis {
  readonly stderr?: string | undefined
  readonly exitCode?: number | undefined
  readonly durationMs?: number | undefined
  readonly stopReason?: string | undefined
}

/** The agent's executable cannot be started. */
export class ExecutableMissing extends Schema.TaggedError<ExecutableMissing>()("ExecutableMissing", {
  program: Schema.String,
  ...diagnosis,
}) {
  readonly code = "agent_unavailable"
}

/** The agent does not start, does not speak the protocol, or cannot resume a session with its context. */
export class AgentUnavailable extends Schema.TaggedError<AgentUnavailable>()("AgentUnavailable", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "agent_unavailable"
}

/**
 * The agent ended a turn without a stop reason: it failed, its provider refused, or its process ended. `kind` is the
 * agent's own word for the cause, if it has one.
 */
export class TurnFailed extends Schema.TaggedError<TurnFailed>()("TurnFailed", {
  reason: Schema.String,
  kind: Schema.optional(Schema.String),
  ...diagnosis,
}) {
  readonly code = "turn_failed"
}

/**
 * The agent's executable has no login, or the provider does not accept it; then `reason` has the provider's words. Try
 * again in `retryAfterSecs`, if it is known when the login is tried again.
 */
export class NotLoggedIn extends Schema.TaggedError<NotLoggedIn>()("NotLoggedIn", {
  reason: Schema.optional(Schema.String),
  retryAfterSecs: Schema.optional(Schema.Number),
  ...diagnosis,
}) {
  readonly code = "not_logged_in"
}

/**
 * The provider refused because a limit of the login is reached. The limit ends at `resetsAt`, in milliseconds since 1970,
 * if the provider said so; try again in `retryAfterSecs`. With `family`, the limit is one of the models with that word in
 * their names, such as `opus`, and other models can still be asked.
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  reason: Schema.String,
  resetsAt: Schema.optional(Schema.Number),
  family: Schema.optional(Schema.String),
  retryAfterSecs: Schema.Number,
  ...diagnosis,
}) {
  readonly code = "rate_limited"
}

/** The provider has too much to do. */
export class ProviderOverloaded extends Schema.TaggedError<ProviderOverloaded>()("ProviderOverloaded", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "overloaded"
}

/** The provider has no such model, or none that the login may use. */
export class ModelNotFound extends Schema.TaggedError<ModelNotFound>()("ModelNotFound", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "model_not_found"
}

/** The provider has a billing problem with the login: its credit or a payment. */
export class BillingRefused extends Schema.TaggedError<BillingRefused>()("BillingRefused", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "billing"
}

/** The prompt, with what belongs to it, is longer than the model or the provider takes. */
export class PromptTooLong extends Schema.TaggedError<PromptTooLong>()("PromptTooLong", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "invalid_request"
}

/** The provider refused or could not be reached. `status` is its HTTP status, if it answered. */
export class ProviderRefused extends Schema.TaggedError<ProviderRefused>()("ProviderRefused", {
  status: Schema.optional(Schema.Number),
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The executable was ended by a signal that the service did not send. */
export class ProcessKilled extends Schema.TaggedError<ProcessKilled>()("ProcessKilled", {
  signal: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The executable ended without an answer, or reported a failure. */
export class ProcessFailed extends Schema.TaggedError<ProcessFailed>()("ProcessFailed", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The executable's output is no answer: it is not the protocol, or exceeds the limit. */
export class OutputGarbled extends Schema.TaggedError<OutputGarbled>()("OutputGarbled", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The answer does not fit the `output_schema` that came with the prompt. */
export class AnswerMismatch extends Schema.TaggedError<AnswerMismatch>()("AnswerMismatch", {
  issues: Schema.Array(Issue),
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/**
 * The run exceeded `timeout_secs`. Its processes are gone. `waitedFor` is present if the agent was waiting at that time
 * to ask its provider again: it says why the provider had refused.
 */
export class RunTimedOut extends Schema.TaggedError<RunTimedOut>()("RunTimedOut", {
  timeoutSecs: Schema.Number,
  waitedFor: Schema.optional(Schema.String),
  ...diagnosis,
}) {
  readonly code = "timeout"
}

/**
 * A queue is full, the run waited too long, too many large requests, connections or streams are open, or the machine has no
 * room for a check of an output schema. Try again in `retryAfterSecs`.
 */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  because: Schema.Literal(
    "queue_full",
    "waited_too_long",
    "memory",
    "connections",
    "streams",
    "schema_unchecked",
  ),
  retryAfterSecs: Schema.Number,
}) {
  readonly code = "overloaded"
}

/** The service stops: it accepts no work, and ends what runs. */
export class ShuttingDown extends Schema.TaggedError<ShuttingDown>()("ShuttingDown", {}) {
  readonly code = "shutting_down"
}

/** The service was killed or crashed before the run ended. */
export class RunLost extends Schema.TaggedError<RunLost>()("RunLost", {}) {
  readonly code = "run_failed"
}

/** There is no such run, or it is another app's. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", {}) {
  readonly code = "not_found"
}

/** The run has ended, and its text is no longer kept. */
export class AnswerGone extends Schema.TaggedError<AnswerGone>()("AnswerGone", {}) {
  readonly code = "gone"
}

/** The app has used the idempotency key for another request. */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()(
  "IdempotencyConflict",
  {},
) {
  readonly code = "idempotency_conflict"
}

/** A bug. Its cause is in the log. */
export class RunDefect extends Schema.TaggedError<RunDefect>()("RunDefect", {}) {
  readonly code = "internal"
}

/** A refusal of the provider whose cause is known. */
export type ProviderFailure =
  | NotLoggedIn
  | RateLimited
  | ProviderOverloaded
  | ModelNotFound
  | BillingRefused
  | PromptTooLong

/** A failure of the agent's executable. */
export type AgentFailure =
  | ExecutableMissing
  | ProviderFailure
  | ProviderRefused
  | ProcessKilled
  | ProcessFailed
  | OutputGarbled

/** A failure of an agent to open a session. */
export type AgentRefusal = AgentUnavailable | ExecutableMissing | NotLoggedIn

/** A failure of an accepted run. `Unauthorized`: its token was revoked meanwhile. */
export type RunFailure =
  | AgentFailure
  | AnswerMismatch
  | RunTimedOut
  | Overloaded
  | FileNotFound
  | ShuttingDown
  | Unauthorized
  | StorageFailed

/** A failure of an accepted turn. */
export type TurnFailure =
  | AgentRefusal
  | ProviderFailure
  | TurnFailed
  | RunTimedOut
  | Overloaded
  | FileNotFound
  | ShuttingDown
  | Unauthorized
  | StorageFailed

/** Returns the failure with the time that is left of its limit at that time, in milliseconds since 1970. */
export const limitLeft = (failure: RateLimited, now: number): RateLimited =>
  failure.resetsAt === undefined
    ? failure
    : new RateLimited({
        ...failure,
        retryAfterSecs: Math.max(1, Math.ceil((failure.resetsAt - now) / 1000)),
      })

/** Returns the failure with more details. */
export const diagnosed = <F extends Diagnosis & Error>(failure: F, known: Diagnosis): F =>
  Object.assign(Object.create(Object.getPrototypeOf(failure) as object) as F, failure, known)

// --- storage ------------------------------------------------------------------------------------------------

/** The disk or the database failed. `cause` is for the log and is never shown to a client. */
export class StorageFailed extends Schema.TaggedError<StorageFailed>()("StorageFailed", {
  during: Schema.String,
  cause: Schema.Defect,
}) {
  readonly code = "internal"
}

export type Failure =
  | InvalidRequest
  | Unauthorized
  | AddressNotAllowed
  | OriginNotAllowed
  | TokenNotFound
  | FileTooLarge
  | QuotaExceeded
  | TokenNameTaken
  | SessionNotFound
  | SessionClosed
  | SessionBusy
  | PoolFull
  | RunFailure
  | TurnFailure
  | RunLost
  | RunNotFound
  | RunDefect
  | AnswerGone
  | IdempotencyConflict
