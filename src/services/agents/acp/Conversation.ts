import { Clock, Duration, Effect, Option, type Scope, type Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, type TurnFailed } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AcpMessage, AgentSession } from "../AcpxClient.ts"
import type { AgentProcess } from "./AgentProcess.ts"
import { letGo } from "./AgentSessions.ts"
import { attachedAs } from "./Routing.ts"
import { makeTurn, type Turn } from "./Turn.ts"

/** How long an agent may take to end a turn that it is asked to end, and then that whose session it was to forget. */
const CANCEL_PATIENCE = Duration.seconds(4)
const CLOSE_PATIENCE = Duration.seconds(2)

/**
 * Puts a prompt to a session that the process has; all that the agent sends of it comes in the stream. When the scope
 * closes before the end, the turn is ended: then the agent works on it no more.
 */
export const converse = (
  agent: AgentProcess,
  session: AgentSession,
  ref: AgentSessionRef,
  prompt: string,
): Effect.Effect<Stream.Stream<AcpMessage, AgentRefusal | TurnFailed>, AgentUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const attached = attachedAs(agent.attached, session, ref)
    if (attached === undefined) return yield* new AgentUnavailable({ reason: ENDED })
    const turn = yield* makeTurn(prompt)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        attached.turn = turn
      }),
      () =>
        turn.unread.pipe(
          Effect.zipRight(stopped(agent, ref, turn)),
          Effect.ensuring(
            Effect.sync(() => {
              attached.turn = undefined
            }),
          ),
        ),
    )
    // Whoever tells turns that the process is gone has seen this one, or is seen here.
    if (!agent.isAlive()) return yield* new AgentUnavailable({ reason: ENDED })
    yield* agent.send(ref, turn)
    return turn.messages
  })

const ENDED = "its process ended, and the session is not open in a new one"

/** What a finalizer forks, a second interruption would end, unless it is a daemon. */
const stopped = (agent: AgentProcess, ref: AgentSessionRef, turn: Turn) =>
  turn.isOver()
    ? Effect.void
    : Effect.flatMap(Effect.forkDaemon(Effect.interruptible(stop(agent, ref, turn))), (fiber) => fiber.await)

/** Asks the agent to end a turn, and returns how long it may take: from the first time that it was asked. */
export const askToEnd = (agent: AgentProcess, ref: AgentSessionRef, turn: Turn) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    turn.askedToEndAt ??= now
    yield* agent.cancel(ref)
    return Duration.subtract(CANCEL_PATIENCE, Duration.millis(now - turn.askedToEndAt))
  })

/** Ends a turn that its reader has left: by asking, by taking its session away, by ending the process. */
const stop = (agent: AgentProcess, ref: AgentSessionRef, turn: Turn) =>
  Effect.gen(function* () {
    const patience = yield* askToEnd(agent, ref, turn)
    if (yield* isOverWithin(turn, patience)) return
    if ((yield* letGo(agent, ref)) && (yield* isOverWithin(turn, CLOSE_PATIENCE))) return
    yield* agent.end
  })

const isOverWithin = (turn: Turn, patience: Duration.Duration) =>
  Effect.map(Effect.timeoutOption(turn.over, patience), Option.isSome)
