import { Effect, type Exit, Mailbox, Stream } from "effect"
import { estimateJsonChars } from "../../../domain/Json.ts"

/** Messages on their way from the connections of agents to one reader, in order. */
export interface MessageMailbox<A, E> {
  /**
   * Adds a message. After the end, and after `discard`, the message is dropped.
   *
   * Returns an effect while the reader is more than `BUFFER_MAX_CHARS` behind. Nothing more should be read from the
   * agent until that effect completes: the reader has caught up, or has left. It is the same effect each time.
   */
  readonly offer: (message: A) => Effect.Effect<void> | undefined
  /** Ends the messages. Only the first call sets how the stream ends. */
  readonly end: (exit: Exit.Exit<void, E>) => void
  /** All messages up to the end. For one reader. */
  readonly stream: Stream.Stream<A, E>
  /** Drops all messages from now on. The reader must call it when it leaves, or the agent is held up for ever. */
  readonly discard: Effect.Effect<void>
}

/** How many characters of messages the reader may be behind before the agent has to wait. */
const BUFFER_MAX_CHARS = 1024 * 1024
/** A message of more levels counts as infinitely long: to measure it could overflow the stack. */
const MESSAGE_MAX_LEVELS = 512

/** Makes a mailbox without messages. */
export const makeMessageMailbox = <A, E = never>(): Effect.Effect<MessageMailbox<A, E>> =>
  Effect.map(Mailbox.make<A, E>(), (mailbox) => {
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
      end: (exit) => void mailbox.unsafeDone(exit),
      stream: Stream.mapChunks(Mailbox.toStream(mailbox), (taken) => {
        makeRoom()
        return taken
      }),
      discard: Effect.zipRight(mailbox.shutdown, Effect.sync(makeRoom)),
    }
  })
