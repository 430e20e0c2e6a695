import { Cause, Chunk, Effect, Schedule, Stream } from "effect"
import { isShallow } from "../../domain/Json.ts"
import { claudeMessageOf, sessionCostOf } from "../agents/acp/MessageFields.ts"
import { AcpxClient, type UnpromptedMessage } from "../agents/AcpxClient.ts"
import { Journal } from "../journal/Journal.ts"
import { yieldToEventLoop } from "../journal/YieldToEventLoop.ts"
import { Ledger } from "../journal/Ledger.ts"
import type { AgentCosts } from "./AgentCosts.ts"

/** A message of more levels could overflow the stack when it is written as JSON. */
const MESSAGE_MAX_LEVELS = 512

/** An agent may have sent thousands, which would keep everybody waiting if they were stored in one transaction. */
const MESSAGES_AT_ONCE = 64

/** A ledger that fails is tried again for three seconds. Meanwhile agents that say more are held up. */
const RETRIES = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(3))

/**
 * Stores what agents say about sessions while no turn is open, as long as the scope is open. No turn and no answer waits
 * for it.
 */
export const recordUnprompted = Effect.fn("SessionPool.recordUnprompted")(function* (costs: AgentCosts) {
  const client = yield* AcpxClient
  const journal = yield* Journal
  const { sessions } = yield* Ledger

  /** Records what sessions cost, as the messages say. It may be said a moment after the turn that it is about. */
  const recordCosts = (messages: ReadonlyArray<UnpromptedMessage>) =>
    Effect.forEach(
      messages,
      ({ session, message }) => {
        const total = sessionCostOf(message)
        return total === undefined
          ? Effect.void
          : sessions.setAgentCost(session, total, costs.addBetweenTurns(session, total))
      },
      { discard: true },
    )

  const store = (messages: Iterable<UnpromptedMessage>) =>
    journal
      .appendToSessions(
        Array.from(messages, ({ session, message }) => ({ session, body: JSON.stringify(message) })),
      )
      .pipe(Effect.retry(RETRIES), Effect.zipLeft(yieldToEventLoop))

  const record = (received: ReadonlyArray<UnpromptedMessage>) => {
    const messages = received.filter(
      ({ message }) => claudeMessageOf(message) === undefined && isShallow(message, MESSAGE_MAX_LEVELS),
    )
    if (messages.length === 0) return Effect.void
    return Effect.forEach(Chunk.chunksOf(Chunk.fromIterable(messages), MESSAGES_AT_ONCE), store, {
      discard: true,
    }).pipe(
      Effect.ensuring(
        Effect.catchAll(recordCosts(messages), ({ cause }) =>
          Effect.logWarning("what sessions cost cannot be stored", Cause.die(cause)),
        ),
      ),
      Effect.catchAll(({ cause }) =>
        Effect.annotateLogs(
          Effect.logWarning("what agents said between turns cannot be stored", Cause.die(cause)),
          "messages",
          messages.length,
        ),
      ),
    )
  }

  yield* Stream.runForEachChunk(client.unprompted, (chunk) => record(Chunk.toReadonlyArray(chunk))).pipe(
    Effect.forkScoped,
  )
})
