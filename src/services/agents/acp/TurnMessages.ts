import { Deferred, Effect, Exit, Mailbox, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../../../domain/Failure.ts"
import { estimateJsonChars } from "../../../domain/Json.ts"
import type { AcpMessage } from "../AcpxClient.ts"

type Failure = AgentRefusal | TurnFailed

/** The messages of one turn, in order, from the agent's connection to one reader, and the end of the turn. */
export interface TurnMessages {
  /**
   * Adds a message. After the end, and after `discard`, the message is dropped.
   *
   * Returns an effect while the reader is more than `BUFFER_MAX_CHARS` behind. Nothing more should be read from the
   * agent until that effect completes: the reader has caught up, or has left. It is the same effect each time.
   */
  readonly offer: (message: AcpMessage) => Effect.Effect<void> | undefined
  /** Ends the turn. Only the first call sets how the stream ends. */
  readonly end: (exit: Exit.Exit<void, Failure>) => void
  readonly isEnded: () => boolean
  /** Completes at the end of the turn, whether or not the messages are read. */
  readonly ended: Effect.Effect<void>
  /** All messages up to the end. For one reader. */
  readonly stream: Stream.Stream<AcpMessage, Failure>
  /** Drops all messages from now on. The reader must call it when it leaves, or the agent is held up for ever. */
  readonly discard: Effect.Effect<void>
}

/** How many characters of messages the reader may be behind before the agent has to wait. */
const BUFFER_MAX_CHARS = 1024 * 1024
/** A message of more levels counts as infinitely long: to measure it could overflow the stack. */
const MESSAGE_MAX_LEVELS = 512

/** Makes the messages of a turn that has not begun. */
export const makeTurnMessages: Effect.Effect<TurnMessages> = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<AcpMessage, Failure>()
  const ended = yield* Deferred.make<void>()
  let isEnded = false
  let bufferedChars = 0
  const room = Effect.unsafeMakeLatch(true)
  const makeRoom = () => {
    bufferedChars = 0
    room.unsafeOpen()
  }
  return {
    offer: (message) => {
      if (!mailbox.unsafeOffer(message)) return undefined
      bufferedChars += estimateJsonChars(message, MESSAGE_MAX_LEVELS)
      if (bufferedChars <= BUFFER_MAX_CHARS) return undefined
      room.unsafeClose()
      return room.await
    },
    end: (exit) => {
      isEnded = true
      mailbox.unsafeDone(exit)
      Deferred.unsafeDone(ended, Exit.void)
    },
    isEnded: () => isEnded,
    ended: Deferred.await(ended),
    stream: Stream.mapChunks(Mailbox.toStream(mailbox), (taken) => {
      makeRoom()
      return taken
    }),
    discard: Effect.zipRight(mailbox.shutdown, Effect.sync(makeRoom)),
  }
})
