import { Effect, Stream } from "effect"
import type { SessionId } from "../../../domain/Ids.ts"
import type { AcpMessage, UnpromptedMessage } from "../AcpxClient.ts"
import { makeMessageMailbox, type MessageMailbox } from "./MessageMailbox.ts"

/** What agents send about sessions while no turn is open, from all connections to one reader. */
export interface UnpromptedMessages {
  /**
   * Adds a message. Without a reader it is dropped. Returns an effect while the reader is too far behind: nothing more
   * should be read from the agent until it completes.
   */
  readonly offer: (session: SessionId, message: AcpMessage) => Effect.Effect<void> | undefined
  /** The messages from the start of the reading on. For one reader at a time. */
  readonly stream: Stream.Stream<UnpromptedMessage>
}

export const makeUnpromptedMessages = (): UnpromptedMessages => {
  let reader: MessageMailbox<UnpromptedMessage, never> | undefined
  return {
    offer: (session, message) => reader?.offer({ session, message }),
    stream: Stream.unwrapScoped(
      Effect.acquireRelease(
        Effect.tap(makeMessageMailbox<UnpromptedMessage>(), (mailbox) =>
          Effect.sync(() => {
            reader = mailbox
          }),
        ),
        (mailbox) =>
          Effect.suspend(() => {
            if (reader === mailbox) reader = undefined
            return mailbox.discard
          }),
      ).pipe(Effect.map(({ stream }) => stream)),
    ),
  }
}
