import { Schema } from "effect"
import { RunId, SessionId, TokenId } from "./Ids.ts"
import { LoginState } from "./Login.ts"
import type { StreamGap } from "./Stream.ts"
import { TokenName } from "./Token.ts"
import { maySee, type Viewer } from "./Viewer.ts"

/**
 * Everything that happens, as one union: a schema for each type. The log is append-only and has one increasing sequence
 * for all types. `data` is shown as it is, so its keys are in snake case; it never holds a prompt or an answer.
 */

const subject = {
  /** Its number in the one sequence of all events, of the log and of all streams. It increases; numbers may be missing. */
  seq: Schema.Number,
  /** Milliseconds since 1970. */
  at: Schema.Number,
  runId: Schema.NullOr(RunId),
  sessionId: Schema.NullOr(SessionId),
  tokenId: Schema.NullOr(TokenId),
  /** The name of the app that caused it. */
  token: Schema.NullOr(TokenName),
}

const event = <const Type extends string, Data extends Schema.Struct.Fields>(type: Type, data: Data) =>
  Schema.Struct({ type: Schema.Literal(type), ...subject, data: Schema.Struct(data) })

/** The request that caused it. */
const request = { request_id: Schema.String, address: Schema.String }

const RunQueued = event("run.queued", {})
const RunStarted = event("run.started", {})
/** The failure's stable `code`, if it was one. */
const ended = { code: Schema.optional(Schema.String) }
const RunCompleted = event("run.completed", ended)
const RunFailed = event("run.failed", ended)
const RunCancelled = event("run.cancelled", ended)
const RunTimedOut = event("run.timed_out", ended)
const RunLost = event("run.lost", ended)

const SessionCreated = event("session.create", {
  agent: Schema.String,
  model: Schema.NullOr(Schema.String),
  permission_mode: Schema.String,
  ...request,
})
const SessionTurn = event("session.turn", { turn_index: Schema.NullOr(Schema.Number) })
/** Without a request where the service itself closed it. */
const SessionClosed = event("session.close", {
  request_id: Schema.optional(Schema.String),
  address: Schema.optional(Schema.String),
})
const SessionSwept = event("session.sweep_close", {})
const SessionDeleted = event("session.hard_delete", {})

const TokenMinted = event("token.mint", { ...request, ip_cidrs: Schema.Array(Schema.String) })
const TokenRevoked = event("token.revoke", request)

const FileUploaded = event("file.upload", {
  file_id: Schema.String,
  size: Schema.Number,
  expires_at: Schema.Number,
  ...request,
})
const FileExpired = event("file.expire", { file_id: Schema.String, size: Schema.Number })

/** One for each address, reason and second; `request_id` is the first request's. */
const AdmissionRefused = event("admission.refused", {
  address: Schema.String,
  code: Schema.String,
  reason: Schema.String,
  count: Schema.Number,
  request_id: Schema.String,
})
const LoginChanged = event("login.changed", {
  logged_in: Schema.Boolean,
  /** Absent in events of older versions. */
  state: Schema.optional(LoginState),
})

/** An event of the log. */
export const Event = Schema.Union(
  RunQueued,
  RunStarted,
  RunCompleted,
  RunFailed,
  RunCancelled,
  RunTimedOut,
  RunLost,
  SessionCreated,
  SessionTurn,
  SessionClosed,
  SessionSwept,
  SessionDeleted,
  TokenMinted,
  TokenRevoked,
  FileUploaded,
  FileExpired,
  AdmissionRefused,
  LoginChanged,
)
export type Event = typeof Event.Type

/** The type of an event, such as `run.completed`. */
export type EventType = Event["type"]
export const EventType = Schema.Literal(
  ...(Event.members.map(({ fields }) => fields.type.literals[0]) as [EventType, ...Array<EventType>]),
)

/** An event to append: the ledger gives it its sequence number, and the app's name. */
export type NewEvent = Event extends infer E ? (E extends Event ? Omit<E, "seq" | "token"> : never) : never

/** Which events a viewer wants: all that it may see and that match each field. */
export interface EventFilter {
  readonly viewer: Viewer
  readonly type?: EventType | undefined
  readonly runId?: RunId | undefined
  readonly sessionId?: SessionId | undefined
}

/** Returns a test for events that match the filter. */
export const matching =
  ({ viewer, type, runId, sessionId }: EventFilter) =>
  (event: Pick<Event, "type" | "runId" | "sessionId" | "tokenId">): boolean =>
    maySee(viewer, event.tokenId) &&
    (type === undefined || event.type === type) &&
    (runId === undefined || event.runId === runId) &&
    (sessionId === undefined || event.sessionId === sessionId)

/** Whether an item of a stream is a gap, not an event. */
export const isGap = (item: Event | StreamGap): item is StreamGap => "kind" in item

/** What the log holds. */
export interface LogSummary {
  readonly counts: ReadonlyMap<EventType, number>
  readonly oldest: Pick<Event, "seq" | "at"> | null
  readonly newest: Pick<Event, "seq" | "at"> | null
}
