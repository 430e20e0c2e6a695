import { Duration, Effect, Option, type Scope, type Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, type TurnFailed } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AcpMessage, AgentSession } from "../AcpxClient.ts"
import { CANCEL_TIMEOUT, CLOSE_TIMEOUT } from "../Timeouts.ts"
import { monotonicMillis } from "../../time/Monotonic.ts"
import type { AgentProcess } from "./AgentProcess.ts"
import { closeSession } from "./AgentSessions.ts"
import { findLoaded, type ProcessTurn } from "./LoadedSession.ts"
import { makeTurnMessages } from "./TurnMessages.ts"

/**
 * Sends a prompt to a session that the process has loaded. The stream has every message that the agent sends for this
 * turn. When the scope closes before the end of the turn, the turn is stopped; the scope waits until the agent no longer
 * works on it. Fails when the process has ended, or has not loaded the session.
 */
export const startTurn = (
  agent: AgentProcess,
  session: AgentSession,
  ref: AgentSessionRef,
  prompt: string,
): Effect.Effect<Stream.Stream<AcpMessage, AgentRefusal | TurnFailed>, AgentUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const loaded = findLoaded(agent.sessions, session, ref)
    if (loaded === undefined) return yield* new AgentUnavailable({ reason: PROCESS_ENDED })
    const messages = yield* makeTurnMessages
    const turn: ProcessTurn = { prompt, messages, requestId: undefined, cancelRequestedAt: undefined }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        loaded.turn = turn
      }),
      () =>
        messages.discard.pipe(
          Effect.zipRight(stopUnlessEnded(agent, ref, turn)),
          Effect.ensuring(
            Effect.sync(() => {
              loaded.turn = undefined
            }),
          ),
        ),
    )
    // When the process ends, its turns are failed. A process that ended before this turn was registered is seen here.
    if (!agent.isAlive()) return yield* new AgentUnavailable({ reason: PROCESS_ENDED })
    yield* agent.sendPrompt(ref, prompt)
    return messages.stream
  })

const PROCESS_ENDED = "its process ended, and the session is not open in a new one"

/** Runs in a daemon fiber: a second interruption would end any other fiber that a finalizer forks. */
const stopUnlessEnded = (agent: AgentProcess, ref: AgentSessionRef, turn: ProcessTurn) =>
  turn.messages.isEnded()
    ? Effect.void
    : Effect.flatMap(Effect.forkDaemon(Effect.interruptible(stop(agent, ref, turn))), (fiber) => fiber.await)

/** Asks the agent to end a turn. Returns how long it may still take, counted from the first request to end it. */
export const requestCancel = (agent: AgentProcess, ref: AgentSessionRef, turn: ProcessTurn) =>
  Effect.gen(function* () {
    const now = yield* monotonicMillis
    turn.cancelRequestedAt ??= now
    yield* agent.cancel(ref)
    return Duration.subtract(CANCEL_TIMEOUT, Duration.millis(now - turn.cancelRequestedAt))
  })

/** Stops a turn that nobody reads: asks the agent to end it, then closes its session, then ends the process. */
const stop = (agent: AgentProcess, ref: AgentSessionRef, turn: ProcessTurn) =>
  Effect.gen(function* () {
    const timeout = yield* requestCancel(agent, ref, turn)
    if (yield* endsWithin(turn, timeout)) return
    if ((yield* closeSession(agent, ref)) && (yield* endsWithin(turn, CLOSE_TIMEOUT))) return
    yield* agent.end
  })

const endsWithin = ({ messages }: ProcessTurn, timeout: Duration.Duration) =>
  Effect.map(Effect.timeoutOption(messages.ended, timeout), Option.isSome)
