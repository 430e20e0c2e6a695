import { Cause, Clock, Effect, Option, Schedule } from "effect"
import { InvalidRequest } from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import {
  type AgentName,
  type AgentSessionRef,
  type Session,
  type SessionRequest,
} from "../../domain/Session.ts"
import type { Origin } from "../../domain/Origin.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ids } from "../access/Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { agentSessionOf } from "./AgentSession.ts"

/** How long to wait before the next attempt to give back a place in a ledger that failed. */
const ABANDON_INTERVAL = "5 seconds"

/** The agents that a session can be opened with. */
export interface Agents {
  readonly has: (agent: AgentName) => boolean
  readonly keys: () => Iterable<AgentName>
}

/**
 * Makes the opening of sessions. A session takes one of `limit` places first. A session that fails to open leaves no
 * trace.
 */
export const makeOpening = (options: { readonly agents: Agents; readonly limit: number }) =>
  Effect.gen(function* () {
    const client = yield* AcpxClient
    const dirs = yield* SessionDirs
    const ids = yield* Ids
    const { sessions } = yield* Ledger
    const engine = yield* RunEngine
    const scope = yield* Effect.scope
    const agentNames = [...options.agents.keys()].join(", ") || "it has none"

    const removeDir = (id: SessionId) =>
      Effect.catchAll(dirs.remove(id), ({ cause }) =>
        Effect.logWarning(
          "the directory of a session that did not open is not removed yet",
          Cause.die(cause),
        ),
      )

    // A server that died may have left sessions that were opening.
    yield* Effect.flatMap(sessions.abandonAll, (abandoned) =>
      Effect.forEach(abandoned, removeDir, { discard: true, concurrency: 8 }),
    )

    /** Gives back the place of a session that did not open. If the ledger fails, this is repeated in the background. */
    const abandon = (id: SessionId) =>
      Effect.catchAll(sessions.abandon(id), (failure) =>
        Effect.zipRight(
          Effect.logWarning("a session that did not open is not removed yet", Cause.die(failure.cause)),
          Effect.retry(sessions.abandon(id), Schedule.spaced(ABANDON_INTERVAL)).pipe(
            // It is forked in an uninterruptible region. Without this, a service that stops would wait for it.
            Effect.interruptible,
            Effect.forkIn(scope),
          ),
        ),
      )

    return Effect.fn("SessionPool.open")(function* (request: SessionRequest, owner: TokenId, origin: Origin) {
      yield* engine.accepting
      if (!options.agents.has(request.agent)) {
        return yield* new InvalidRequest({
          issues: [{ path: ["agent"], message: `is not one of this service's agents: ${agentNames}` }],
        })
      }
      const id = yield* ids.session
      const at = yield* Clock.currentTimeMillis
      const opening = { ...request, id, tokenId: owner, origin, at }
      const initial = { status: "open", turnCount: 0, lastTurnAt: null, closedAt: null } as const
      const session: Session = { ...request, ...initial, id, tokenId: owner, createdAt: at }
      const agentSession = agentSessionOf(opening, dirs.of(id))
      let ref: AgentSessionRef | undefined
      const undo = Effect.gen(function* () {
        if (ref !== undefined) yield* client.close(agentSession, ref)
        yield* removeDir(id)
        yield* abandon(id)
      })
      // Only the wait for the agent can be interrupted. Of every other step it is then known whether it happened.
      yield* Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          yield* sessions.reserve(opening, options.limit)
          yield* Effect.gen(function* () {
            yield* dirs.make(id)
            ref = yield* restore(client.open(agentSession, Option.none()))
            yield* sessions.activate(opening, ref)
          }).pipe(Effect.onError(() => undo))
        }),
      )
      return session
    })
  })
