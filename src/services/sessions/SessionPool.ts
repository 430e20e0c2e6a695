import { Cause, Clock, Context, Effect, Layer, Option } from "effect"
import {
  type AgentRefusal,
  type FileNotFound,
  type InvalidRequest,
  type Overloaded,
  type ModelNotFound,
  type NotLoggedIn,
  type PoolFull,
  type RateLimited,
  type SessionBusy,
  type SessionClosed,
  SessionNotFound,
  type ShuttingDown,
  type StorageFailed,
  type TurnFailure,
  type Unauthorized,
} from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { Session, SessionRequest, TurnRequest } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Origin.ts"
import { App, maySee, type Viewer } from "../../domain/Viewer.ts"
import { Revocation } from "../access/Revocation.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { makeTurnExecutor } from "../runs/executors/TurnExecutor.ts"
import type { TurnReport } from "../runs/Report.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { AgentCosts } from "./AgentCosts.ts"
import { makeClosing } from "./Closing.ts"
import { type Agents, makeOpening } from "./Opening.ts"
import { makeTurnAcceptance } from "./TurnAcceptance.ts"
import { recordUnprompted } from "./UnpromptedRecorder.ts"
import { agentSessionOf } from "./AgentSession.ts"

/** Limits of sessions. An option that is not set has the contract's default. */
export interface SessionPoolOptions {
  readonly agents: Agents
  /** How many sessions can be open at once, of all apps together; 32 by default. */
  readonly maxLiveSessions?: number
  /** How many turns can wait on one session; 32 by default. */
  readonly maxQueuedTurns?: number
}

/** An accepted turn. It goes on to its recorded outcome, whether or not anybody waits for it. */
export interface OpenTurn {
  readonly id: RunId
  /** The turn's number in its session, from 1. */
  readonly index: number
  /** Waits for the outcome, which is recorded by then. A cancelled turn is a report, not a failure. */
  readonly answer: Effect.Effect<TurnReport, TurnFailure>
  /** Cancels the turn and waits for its outcome. */
  readonly cancel: Effect.Effect<void>
}

/** Conversations with agents. Each belongs to one app; for every other app it does not exist. */
export class SessionPool extends Context.Tag("clawdforge/SessionPool")<
  SessionPool,
  {
    /**
     * Opens a session. A session that fails to open leaves no trace. Fails with `InvalidRequest` for an agent that is
     * not in `agents`, and with `ModelNotFound` for a model that the agent does not offer.
     */
    readonly open: (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      Session,
      InvalidRequest | ModelNotFound | PoolFull | AgentRefusal | ShuttingDown | Unauthorized | StorageFailed
    >
    /**
     * Accepts a turn. It has an id, a row and later an outcome, also if the caller is interrupted. The turns of a
     * session run one at a time, in the order in which they were accepted. A turn of `claude` fails as
     * `LoginMonitor.admit` does.
     */
    readonly turn: (
      session: SessionId,
      request: TurnRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      OpenTurn,
      | SessionNotFound
      | SessionClosed
      | SessionBusy
      | Overloaded
      | FileNotFound
      | NotLoggedIn
      | RateLimited
      | ShuttingDown
      | Unauthorized
      | StorageFailed
    >
    /**
     * Cancels the session's queued and running turns, and waits for their outcomes. Returns false if there were none.
     */
    readonly cancel: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<boolean, SessionNotFound | StorageFailed>
    /** Returns a session of the app. Another app's session is `SessionNotFound`. */
    readonly get: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<Session, SessionNotFound | StorageFailed>
    /** Returns a session that the viewer may see. Any other is `SessionNotFound`. */
    readonly find: (
      session: SessionId,
      viewer: Viewer,
    ) => Effect.Effect<Session, SessionNotFound | StorageFailed>
    /** Returns the app's sessions, newest first. */
    readonly list: (
      owner: TokenId,
      options: { readonly includeClosed: boolean },
    ) => Effect.Effect<ReadonlyArray<Session>, StorageFailed>
    /**
     * Closes a session. Its queued and running turns end as cancelled. Returns when its agent has closed it and its
     * directory is removed. Closing a closed session changes nothing.
     */
    readonly close: (
      session: SessionId,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyClosed: boolean }, SessionNotFound | StorageFailed>
    /** Closes a session that has been idle since `idleSince` and has no unfinished turn. Returns whether it did. */
    readonly closeIdle: (session: Session, idleSince: number) => Effect.Effect<boolean, StorageFailed>
    /**
     * Deletes a closed session for ever: first the agent's record of it, then ours. Returns false if there is no such
     * session, or if its closing is not over yet.
     */
    readonly erase: (session: SessionId) => Effect.Effect<boolean, AgentRefusal | StorageFailed>
    /** Counts the open sessions, of all apps. */
    readonly openSessions: Effect.Effect<number, StorageFailed>
  }
>() {
  static readonly layer = (options: SessionPoolOptions) =>
    Layer.scoped(
      SessionPool,
      Effect.gen(function* () {
        const client = yield* AcpxClient
        const dirs = yield* SessionDirs
        const { sessions } = yield* Ledger
        const engine = yield* RunEngine
        const revocation = yield* Revocation
        const scope = yield* Effect.scope
        const costs = new AgentCosts()
        yield* engine.register(
          yield* makeTurnExecutor({ maxQueuedTurns: options.maxQueuedTurns ?? 32, costs }),
        )
        const open = yield* makeOpening({ agents: options.agents, limit: options.maxLiveSessions ?? 32 })
        const turn = yield* makeTurnAcceptance
        const { close, closeIdle, isReleasing } = yield* makeClosing(costs)
        yield* recordUnprompted(costs)

        // A service that stops must not wait for an agent that does not end its turn.
        yield* engine.graceOver.pipe(Effect.zipRight(client.endAll), Effect.forkScoped)

        const find = Effect.fn("SessionPool.find")(function* (id: SessionId, viewer: Viewer) {
          const found = Option.filter(yield* sessions.find(id), ({ tokenId }) => maySee(viewer, tokenId))
          return yield* Effect.mapError(found, () => new SessionNotFound())
        })

        /** Returns a session of the app. */
        const getOwned = (id: SessionId, owner: TokenId) => find(id, App({ tokenId: owner }))

        /** Closes all sessions of an app, and ends its agents' processes. Returns without waiting for that. */
        const endOfApp = (owner: TokenId, origin: Origin) =>
          sessions.list(owner, { includeClosed: false }).pipe(
            Effect.flatMap((open) =>
              Effect.forEach(open, (session) => close(session, origin), {
                discard: true,
                concurrency: "unbounded",
              }),
            ),
            Effect.catchAll(({ cause }) =>
              Effect.logWarning("the sessions of a revoked token are not closed yet", Cause.die(cause)),
            ),
            Effect.ensuring(client.endOf(owner)),
            // The revocation cannot be interrupted. This fiber can be, so that a stop does not wait for it.
            Effect.interruptible,
            Effect.forkIn(scope),
            Effect.asVoid,
          )
        yield* revocation.register(endOfApp)

        return {
          open: (request, owner, origin) =>
            open(request, owner, origin).pipe(
              // The token was revoked meanwhile. The revocation may have missed an agent that was just starting.
              Effect.tapErrorTag("Unauthorized", () => client.endOf(owner)),
            ),
          turn: (id, request, owner, origin) =>
            engine.accepting.pipe(
              Effect.zipRight(getOwned(id, owner)),
              Effect.flatMap((session) => turn(session, request, owner, origin)),
            ),
          cancel: (id, owner) => Effect.zipRight(getOwned(id, owner), engine.cancel(id)),
          get: getOwned,
          find,
          list: sessions.list,
          close: (id, owner, origin) =>
            getOwned(id, owner).pipe(
              Effect.flatMap((session) => close(session, origin)),
              Effect.map((closed) => ({ alreadyClosed: !closed })),
            ),
          closeIdle: ({ id }, idleSince) =>
            Effect.flatMap(
              sessions.find(id),
              Option.match({
                onNone: () => Effect.succeed(false),
                onSome: (session) => closeIdle(session, idleSince),
              }),
            ),
          erase: Effect.fn("SessionPool.erase")(function* (id) {
            const session = Option.getOrUndefined(yield* sessions.find(id))
            if (session?.status !== "closed" || isReleasing(id)) return false
            if (session.ref !== null) {
              yield* client.erase(agentSessionOf(session, dirs.of(id)), session.ref).pipe(
                // An agent that is no longer installed cannot delete its record.
                Effect.catchTag("ExecutableMissing", () => Effect.void),
              )
            }
            yield* dirs.remove(id)
            return yield* sessions.remove(id, yield* Clock.currentTimeMillis)
          }),
          openSessions: sessions.countOpen,
        }
      }),
    )
}
