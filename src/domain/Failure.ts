import { Schema } from "effect"

/**
 * Every way in which the service can fail a caller. `code` is the stable name that programs branch on: it stands
 * in error bodies and in the ledger. What HTTP makes of a failure is in `http/Problem.ts`.
 */

/** One thing wrong with an input or an answer: where, and what is expected there. Never the value itself. */
export const Issue = Schema.Struct({
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  message: Schema.String,
})
export type Issue = typeof Issue.Type

/**
 * What a schema says of a value that does not fit, in place of the framework's words, which would quote the value.
 */
export const expected = (message: string) => () => ({ message, override: true })

// --- asking -------------------------------------------------------------------------------------------------

/** The input breaks a rule that its schema cannot state. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  issues: Schema.Array(Issue),
}) {
  readonly code = "invalid_request"
}

/** No token, a wrong scheme, an unknown or a revoked token: deliberately one failure. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}) {
  readonly code = "unauthorized"
}

/**
 * The client's address is outside the service's allowlist, or outside the token's own; or nobody can say what it is,
 * behind a proxy that was not declared or that forwards for something unreadable.
 */
export class AddressNotAllowed extends Schema.TaggedError<AddressNotAllowed>()("AddressNotAllowed", {
  by: Schema.Literal("service", "token", "undeclared_proxy", "unreadable_hop"),
}) {
  readonly code = "ip_not_allowed"
}

export class TokenNotFound extends Schema.TaggedError<TokenNotFound>()("TokenNotFound", {}) {
  readonly code = "not_found"
}

/** No such uploaded file, or it is another app's, or it has expired. */
export class FileNotFound extends Schema.TaggedError<FileNotFound>()("FileNotFound", {}) {
  readonly code = "not_found"
}

/** No such session, or it is another app's, or it was deleted. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {}) {
  readonly code = "not_found"
}

/** A turn on a session of the app's own that is closed. */
export class SessionClosed extends Schema.TaggedError<SessionClosed>()("SessionClosed", {}) {
  readonly code = "session_closed"
}

/** As many turns wait on the session as may. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {
  limit: Schema.Number,
}) {
  readonly code = "session_busy"
}

/** As many sessions are open, of all apps together, as may be. */
export class PoolFull extends Schema.TaggedError<PoolFull>()("PoolFull", { limit: Schema.Number }) {
  readonly code = "pool_full"
}

/** One upload is larger than any may be. */
export class FileTooLarge extends Schema.TaggedError<FileTooLarge>()("FileTooLarge", {
  limit: Schema.Number,
}) {
  readonly code = "payload_too_large"
}

/** The app's uploads together would be larger than they may be; some expire in `retryAfterSecs`. */
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

// --- running ------------------------------------------------------------------------------------------------

const diagnosis = {
  stderr: Schema.optional(Schema.String),
  exitCode: Schema.optional(Schema.Number),
  durationMs: Schema.optional(Schema.Number),
  stopReason: Schema.optional(Schema.String),
}

/** What is known of a run that went wrong; `stderr` is a tail without secrets and without the prompt. */
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

/** The agent does not start, does not speak the protocol, or cannot take a session up again where it was. */
export class AgentUnavailable extends Schema.TaggedError<AgentUnavailable>()("AgentUnavailable", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "agent_unavailable"
}

/** The agent ended a turn without a stop reason: it failed, its provider refused, or its process is gone. */
export class TurnFailed extends Schema.TaggedError<TurnFailed>()("TurnFailed", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "turn_failed"
}

/** The agent's executable has no login. */
export class NotLoggedIn extends Schema.TaggedError<NotLoggedIn>()("NotLoggedIn", { ...diagnosis }) {
  readonly code = "not_logged_in"
}

/** The provider refused or could not be reached; `status` is its HTTP status, where it answered at all. */
export class ProviderRefused extends Schema.TaggedError<ProviderRefused>()("ProviderRefused", {
  status: Schema.optional(Schema.Number),
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The executable ended by a signal that was not ours. */
export class ProcessKilled extends Schema.TaggedError<ProcessKilled>()("ProcessKilled", {
  signal: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** The executable ended without an answer, or said itself that it failed. */
export class ProcessFailed extends Schema.TaggedError<ProcessFailed>()("ProcessFailed", {
  reason: Schema.String,
  ...diagnosis,
}) {
  readonly code = "run_failed"
}

/** What the executable printed is no answer: not its protocol, or more than the cap. */
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

/** The run passed its `timeout_secs`; its processes are gone. */
export class RunTimedOut extends Schema.TaggedError<RunTimedOut>()("RunTimedOut", {
  timeoutSecs: Schema.Number,
  ...diagnosis,
}) {
  readonly code = "timeout"
}

/** More waits, or is still arriving, than may, or this waited longer than any may; try in `retryAfterSecs`. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  because: Schema.Literal("queue_full", "waited_too_long", "bodies_arriving"),
  retryAfterSecs: Schema.Number,
}) {
  readonly code = "overloaded"
}

/** The service is stopping: no new work, and what ran was ended. */
export class ShuttingDown extends Schema.TaggedError<ShuttingDown>()("ShuttingDown", {}) {
  readonly code = "shutting_down"
}

/** The service ended, by force or by a crash, before the run did. */
export class RunLost extends Schema.TaggedError<RunLost>()("RunLost", {}) {
  readonly code = "run_failed"
}

/** No such run, or it is another app's. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", {}) {
  readonly code = "not_found"
}

/** The run has ended, and its text is kept no more. */
export class AnswerGone extends Schema.TaggedError<AnswerGone>()("AnswerGone", {}) {
  readonly code = "gone"
}

/** The app has used that idempotency key for another request. */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()(
  "IdempotencyConflict",
  {},
) {
  readonly code = "idempotency_conflict"
}

/** A bug: what it was stands in the log. */
export class RunDefect extends Schema.TaggedError<RunDefect>()("RunDefect", {}) {
  readonly code = "internal"
}

/** A way for the agent's executable to fail. */
export type AgentFailure =
  | ExecutableMissing
  | NotLoggedIn
  | ProviderRefused
  | ProcessKilled
  | ProcessFailed
  | OutputGarbled

/** A way for an agent to refuse a session. */
export type AgentRefusal = AgentUnavailable | ExecutableMissing | NotLoggedIn

/** A way for an accepted run to fail; `Unauthorized` when its token was revoked meanwhile. */
export type RunFailure =
  | AgentFailure
  | AnswerMismatch
  | RunTimedOut
  | Overloaded
  | FileNotFound
  | ShuttingDown
  | Unauthorized
  | StorageFailed

/** A way for an accepted turn to fail. */
export type TurnFailure =
  | AgentRefusal
  | TurnFailed
  | RunTimedOut
  | Overloaded
  | FileNotFound
  | ShuttingDown
  | Unauthorized
  | StorageFailed

/** The same failure, knowing more. */
export const diagnosed = <F extends Diagnosis & Error>(failure: F, known: Diagnosis): F =>
  Object.assign(Object.create(Object.getPrototypeOf(failure) as object) as F, failure, known)

// --- keeping ------------------------------------------------------------------------------------------------

/** The disk or the database refused. `cause` is for the log; a client never sees it. */
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
