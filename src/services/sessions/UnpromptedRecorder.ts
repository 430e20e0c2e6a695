import { Cause, Chunk, Effect, Schedule, Stream } from "effect"
import { isShallow } from "../../domain/Json.ts"
import { AcpxClient, type UnpromptedMessage } from "../agents/AcpxClient.ts"
import { Journal } from "../journal/Journal.ts"

/** A message of more levels could overflow the stack when it is written as JSON. */
const MESSAGE_MAX_LEVELS = 512

/** A ledger that fails is tried again for three seconds. Meanwhile agents that say more are held up. */
const RETRIES = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(3))

/**
 * Stores what agents say about sessions while no turn is open, as long as the scope is open. No turn and no answer waits
 * for it.
 */
export const recordUnprompted = Effect.gen(function* () {
  const client = yield* AcpxClient
  const journal = yield* Journal

  const record = (messages: ReadonlyArray<UnpromptedMessage>) =>
    journal
      .appendToSessions(
        messages
          .filter(({ message }) => isShallow(message, MESSAGE_MAX_LEVELS))
          .map(({ session, message }) => ({ session, body: JSON.stringify(message) })),
      )
      .pipe(
        Effect.retry(RETRIES),
        Effect.catchAll(({ cause }) =>
          Effect.annotateLogs(
            Effect.logWarning("what agents said between turns cannot be stored", Cause.die(cause)),
            "messages",
            messages.length,
          ),
        ),
      )

  yield* Stream.runForEachChunk(client.unprompted, (chunk) => record(Chunk.toReadonlyArray(chunk))).pipe(
    Effect.forkScoped,
  )
})
