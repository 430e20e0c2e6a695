import { Effect, type Exit, Mailbox, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../../../domain/Failure.ts"
import { charsOf } from "../../../domain/Json.ts"
import type { AcpMessage } from "../AcpxClient.ts"

type Failure = AgentRefusal | TurnFailed

/** What an agent sent in a turn, on its way to the one who reads it. */
export interface Backlog {
  /**
   * After the end, and when nobody reads any more, it is dropped. While the reader is behind, it returns what is to be
   * waited for before more is taken from the agent, each time the same: the reader has caught up, or is gone.
   */
  readonly offer: (message: AcpMessage) => Effect.Effect<void> | undefined
  /** The first end counts. */
  readonly end: (exit: Exit.Exit<void, Failure>) => void
  /** All up to the end, for one reader. */
  readonly messages: Stream.Stream<AcpMessage, Failure>
  /** To be called when nobody reads any more: what comes then must not wait. */
  readonly unread: Effect.Effect<void>
}

/** How much may wait for its reader. */
const AHEAD_MAX_CHARS = 1024 * 1024
const LEVELS_MAX = 512

export const makeBacklog: Effect.Effect<Backlog> = Effect.map(
  Mailbox.make<AcpMessage, Failure>(),
  (mailbox): Backlog => {
    let ahead = 0
    const room = Effect.unsafeMakeLatch(true)
    const makeRoom = () => {
      ahead = 0
      room.unsafeOpen()
    }
    return {
      offer: (message) => {
        if (!mailbox.unsafeOffer(message)) return undefined
        ahead += charsOf(message, LEVELS_MAX)
        if (ahead <= AHEAD_MAX_CHARS) return undefined
        room.unsafeClose()
        return room.await
      },
      end: (exit) => void mailbox.unsafeDone(exit),
      messages: Stream.mapChunks(Mailbox.toStream(mailbox), (taken) => {
        makeRoom()
        return taken
      }),
      unread: Effect.zipRight(mailbox.shutdown, Effect.sync(makeRoom)),
    }
  },
)
