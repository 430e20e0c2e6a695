import { Deferred, Effect, Exit, Mailbox, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../../../domain/Failure.ts"
import type { AcpMessage } from "../../AcpxClient.ts"

type Failure = AgentRefusal | TurnFailed

/** A turn that is under way: who brings its messages, and who reads them. */
export interface Turn {
  readonly prompt: string
  /** The id of our request, once it is sent: the result has the same. */
  id: unknown
  /** When the agent was first asked to end it, if it was. */
  askedToEndAt: number | undefined
  /** What the agent sent; after the end it is dropped. */
  readonly offer: (message: AcpMessage) => void
  /** The first end counts. */
  readonly end: (exit: Exit.Exit<void, Failure>) => void
  readonly isOver: () => boolean
  /** Waits for the end, whether anybody reads or not. */
  readonly over: Effect.Effect<void>
  /** All messages up to the end, for one reader. They are kept until they are read. */
  readonly messages: Stream.Stream<AcpMessage, Failure>
}

export const makeTurn = (prompt: string): Effect.Effect<Turn> =>
  Effect.gen(function* () {
    const mailbox = yield* Mailbox.make<AcpMessage, Failure>()
    const over = yield* Deferred.make<void>()
    let isOver = false
    return {
      prompt,
      id: undefined,
      askedToEndAt: undefined,
      offer: (message) => void mailbox.unsafeOffer(message),
      end: (exit) => {
        isOver = true
        mailbox.unsafeDone(exit)
        Deferred.unsafeDone(over, Exit.void)
      },
      isOver: () => isOver,
      over: Deferred.await(over),
      messages: Mailbox.toStream(mailbox),
    }
  })
