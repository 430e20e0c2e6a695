import { Cause, Clock, Effect, Option, Schedule, Schema } from "effect"
import { InvalidRequest } from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import type { Claim } from "../../domain/Run.ts"
import {
  type AgentName,
  type AgentSessionRef,
  OpenedSession,
  type Session,
  type SessionRequest,
} from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ids } from "../access/Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { LiveRuns } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { agentSessionOf } from "../runs/executors/Turn.ts"

/** How soon a ledger that failed is asked again. */
const ABANDON_INTERVAL = "5 seconds"

/** How sessions are opened: each takes a place first, and one that comes to nothing leaves no trace. */
export const makeOpening = (options: {
  readonly agents: { readonly has: (agent: AgentName) => boolean }
  readonly limit: number
}) =>
  Effect.gen(function* () {
    const client = yield* AcpxClient
    const dirs = yield* SessionDirs
    const ids = yield* Ids
    const { sessions } = yield* Ledger
    const live = yield* LiveRuns
    const scope = yield* Effect.scope

    const removeDir = (id: SessionId) =>
      Effect.catchAll(dirs.remove(id), ({ cause }) =>
        Effect.logWarning(
          "the directory of a session that did not open is not removed yet",
          Cause.die(cause),
        ),
      )

    // A server that died may have left sessions half open.
    yield* Effect.flatMap(sessions.abandonAll, (left) =>
      Effect.forEach(left, removeDir, { discard: true, concurrency: 8 }),
    )

    /** Gives back the place of a session that came to nothing; by a ledger that fails, as soon as it does no more. */
    const abandon = (id: SessionId) =>
      Effect.catchAll(sessions.abandon(id), (failure) =>
        Effect.zipRight(
          Effect.logWarning("a session that did not open is not removed yet", Cause.die(failure.cause)),
          Effect.retry(sessions.abandon(id), Schedule.spaced(ABANDON_INTERVAL)).pipe(
            // Forked while an interruption is seen to: it would else hold up a service that stops.
            Effect.interruptible,
            Effect.forkIn(scope),
          ),
        ),
      )

    return Effect.fn("SessionPool.open")(function* (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
      claim?: Claim,
    ) {
      yield* live.accepting
      if (!options.agents.has(request.agent)) {
        return yield* new InvalidRequest({
          issues: [{ path: ["agent"], message: "is not an agent of this service" }],
        })
      }
      const id = yield* ids.session
      const at = yield* Clock.currentTimeMillis
      const opening = { ...request, id, tokenId: owner, origin, at }
      const fresh = { status: "open", turnCount: 0, lastTurnAt: null, closedAt: null } as const
      const session: Session = { ...request, ...fresh, id, tokenId: owner, createdAt: at }
      const kept = claim === undefined ? undefined : { claim, answer: keptOf(session) }
      const agentSession = agentSessionOf(opening, dirs.of(id))
      let ref: AgentSessionRef | undefined
      const undo = Effect.gen(function* () {
        if (ref !== undefined) yield* client.close(agentSession, ref)
        yield* removeDir(id)
        yield* abandon(id)
      })
      // Only the agent keeps anybody waiting; between a step and our knowing of it, nothing can come.
      yield* Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          yield* sessions.reserve(opening, options.limit)
          yield* Effect.gen(function* () {
            yield* dirs.make(id)
            ref = yield* restore(client.open(agentSession, Option.none()))
            yield* sessions.activate(id, ref, at, kept)
          }).pipe(Effect.onError(() => undo))
        }),
      )
      return session
    })
  })

const keptOf = Schema.encodeSync(OpenedSession)
