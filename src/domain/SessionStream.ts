import type { Event, EventType } from "./Event.ts"
import type { StreamGap } from "./Stream.ts"
import type { TokenName } from "./Token.ts"

/** The stream of a session: what its agent says while no turn is open, and what happens to the session. */

/** A message that an agent sent about a session while no turn of it was open. */
export interface SessionMessage {
  readonly kind: "message"
  /** Its number in the one sequence of all events, of the log and of all streams. */
  readonly seq: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** The name of the app that the session belongs to. */
  readonly token: TokenName | null
  /** The message, as JSON without a line break. */
  readonly body: string
}

export const SESSION_EVENT_TYPES = [
  "session.create",
  "session.turn",
  "session.close",
  "session.sweep_close",
  "session.hard_delete",
] as const

export const SESSION_CLOSE_TYPES = ["session.close", "session.sweep_close"] as const

/** An event of the log that is about a session itself. */
export type SessionEvent = Extract<Event, { readonly type: (typeof SESSION_EVENT_TYPES)[number] }>

const TYPES: ReadonlySet<string> = new Set(SESSION_EVENT_TYPES)
const CLOSE_TYPES: ReadonlySet<string> = new Set(SESSION_CLOSE_TYPES)

/** Whether an event of that type is about a session itself. */
export const isSessionEventType = (type: EventType): type is SessionEvent["type"] => TYPES.has(type)

/** Whether an item is the last of its session's stream. */
export const isClose = (item: SessionItem): boolean => "type" in item && CLOSE_TYPES.has(item.type)

/** An item of the stream of a session. A part in which messages are gone is told as a gap. */
export type SessionItem = SessionMessage | SessionEvent | StreamGap
