import { Deferred, Effect, Exit, Mailbox, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../../../domain/Failure.ts"
import { charsOf } from "../../../domain/Json.ts"
import type { AcpMessage } from "../../AcpxClient.ts"

type Failure = AgentRefusal | TurnFailed

/** A turn that is under way: who brings its messages, and who reads them. */
export interface Turn {
  readonly prompt: string
  /** The id of our request, once it is sent: the result has the same. */
  id: unknown
  /** When the agent was first asked to end it, if it was. */
  askedToEndAt: number | undefined
  /**
   * What the agent sent; after the end, and when nobody reads any more, it is dropped. While the reader is behind, there
   * is something to wait for before more is taken from the agent.
   */
  readonly offer: (message: AcpMessage) => Promise<unknown> | undefined
  /** The first end counts. */
  readonly end: (exit: Exit.Exit<void, Failure>) => void
  readonly isOver: () => boolean
  /** Waits for the end, whether anybody reads or not. */
  readonly over: Effect.Effect<void>
  /** All messages up to the end, for one reader. */
  readonly messages: Stream.Stream<AcpMessage, Failure>
  /** To be called when nobody reads any more: what comes then must not wait. */
  readonly unread: Effect.Effect<void>
}

/** How much may wait for its reader. */
const AHEAD_MAX_CHARS = 1024 * 1024
const LEVELS_MAX = 512

export const makeTurn = (prompt: string): Effect.Effect<Turn> =>
  Effect.gen(function* () {
    const mailbox = yield* Mailbox.make<AcpMessage, Failure>()
    const over = yield* Deferred.make<void>()
    let isOver = false
    let ahead = 0
    const room = Effect.unsafeMakeLatch(true)
    const makeRoom = () => {
      ahead = 0
      room.unsafeOpen()
    }
    return {
      prompt,
      id: undefined,
      askedToEndAt: undefined,
      offer: (message) => {
        if (!mailbox.unsafeOffer(message)) return undefined
        ahead += charsOf(message, LEVELS_MAX)
        if (ahead <= AHEAD_MAX_CHARS) return undefined
        room.unsafeClose()
        return Effect.runPromise(room.await)
      },
      end: (exit) => {
        isOver = true
        mailbox.unsafeDone(exit)
        Deferred.unsafeDone(over, Exit.void)
      },
      isOver: () => isOver,
      over: Deferred.await(over),
      messages: Stream.mapChunks(Mailbox.toStream(mailbox), (taken) => {
        makeRoom()
        return taken
      }),
      unread: Effect.zipRight(mailbox.shutdown, Effect.sync(makeRoom)),
    }
  })
