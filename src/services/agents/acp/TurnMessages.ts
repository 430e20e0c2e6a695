import { Deferred, Effect, Exit } from "effect"
import type { AgentRefusal, TurnFailed } from "../../../domain/Failure.ts"
import type { AcpMessage } from "../AcpxClient.ts"
import { makeMessageMailbox, type MessageMailbox } from "./MessageMailbox.ts"

type Failure = AgentRefusal | TurnFailed

/** The messages of one turn, in order, from the agent's connection to one reader, and the end of the turn. */
export interface TurnMessages extends MessageMailbox<AcpMessage, Failure> {
  readonly isEnded: () => boolean
  /** Completes at the end of the turn, whether or not the messages are read. */
  readonly ended: Effect.Effect<void>
}

/** Makes the messages of a turn that has not begun. */
export const makeTurnMessages: Effect.Effect<TurnMessages> = Effect.gen(function* () {
  const mailbox = yield* makeMessageMailbox<AcpMessage, Failure>()
  const ended = yield* Deferred.make<void>()
  let isEnded = false
  return {
    ...mailbox,
    end: (exit) => {
      isEnded = true
      mailbox.end(exit)
      Deferred.unsafeDone(ended, Exit.void)
    },
    isEnded: () => isEnded,
    ended: Deferred.await(ended),
  }
})
