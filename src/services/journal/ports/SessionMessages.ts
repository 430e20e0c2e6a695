import type { Effect, Option } from "effect"
import type { StorageFailed } from "../../../domain/Failure.ts"
import type { SessionId } from "../../../domain/Ids.ts"
import type { StreamGap } from "../../../domain/Stream.ts"
import type { SessionEvent, SessionMessage } from "../../../domain/SessionStream.ts"

/** What agents say about sessions while no turn is open, and the streams of sessions, which also have their events. */
export interface SessionMessageRecords {
  /**
   * Appends messages of sessions, in this order: all of them or none. They are on disk when this returns. Messages of a
   * session that is neither opening nor open are dropped. Of each session only the newest are kept, within `SESSION_MESSAGES_MAX` and
   * `SESSION_BYTES_MAX`; the newest one is always kept.
   */
  readonly append: (messages: ReadonlyArray<NewSessionMessage>) => Effect.Effect<void, StorageFailed>
  /**
   * Returns the next items of a session's stream after that sequence number, in order: some of them, and at least one.
   * The session's close is the last.
   */
  readonly read: (
    session: SessionId,
    after: number,
  ) => Effect.Effect<ReadonlyArray<SessionMessage | SessionEvent>, StorageFailed>
  /** Returns the part after that sequence number in which messages are gone, if there is one. */
  readonly gap: (session: SessionId, after: number) => Effect.Effect<Option.Option<StreamGap>, StorageFailed>
}

/** How many messages of one session are kept. */
export const SESSION_MESSAGES_MAX = 2000
/** How many bytes of messages of one session are kept. */
export const SESSION_BYTES_MAX = 4 * 1024 * 1024

/** What an agent said about a session while no turn of it was open. */
export interface NewSessionMessage {
  readonly session: SessionId
  readonly at: number
  /** JSON without a line break. */
  readonly body: string
}
