import { Schema } from "effect"
import type { RunId, SessionId, TokenId } from "./Ids.ts"
import type { StreamGap } from "./Stream.ts"
import type { TokenName } from "./Token.ts"

/** What can be in the event log. The log is append-only and has one sequence for all types. */
export const EventType = Schema.Literal(
  "run.queued",
  "run.started",
  "run.completed",
  "run.failed",
  "run.cancelled",
  "run.timed_out",
  "run.lost",
  "session.create",
  "session.turn",
  "session.close",
  "session.sweep_close",
  "session.hard_delete",
  "token.mint",
  "token.revoke",
  "file.upload",
  "file.expire",
  "admission.refused",
  "login.changed",
)
export type EventType = typeof EventType.Type

/** What happened, as the log has it. */
export interface LogEvent {
  /** Its place in the one sequence of everything that happens. */
  readonly seq: number
  readonly type: EventType
  readonly at: number
  readonly runId: RunId | null
  readonly sessionId: SessionId | null
  readonly tokenId: TokenId | null
  /** The name of the app whose doing it was. */
  readonly token: TokenName | null
  readonly data: Readonly<Record<string, unknown>>
}

/** Which events somebody wants, and may see. */
export interface EventFilter {
  /** One app's only; undefined: all there are. */
  readonly owner?: TokenId | undefined
  readonly type?: EventType | undefined
  readonly runId?: RunId | undefined
  readonly sessionId?: SessionId | undefined
}

export const isGap = (item: LogEvent | StreamGap): item is StreamGap => "kind" in item

/** What there is of the log. */
export interface LogSummary {
  readonly counts: ReadonlyMap<EventType, number>
  readonly oldest: Pick<LogEvent, "seq" | "at"> | null
  readonly newest: Pick<LogEvent, "seq" | "at"> | null
}
