import { Cause, Clock, Context, Effect, Layer, Option } from "effect"
import {
  type AgentRefusal,
  type FileNotFound,
  type InvalidRequest,
  type PoolFull,
  type SessionBusy,
  type SessionClosed,
  SessionNotFound,
  type ShuttingDown,
  type StorageFailed,
  type Unauthorized,
} from "../../domain/Failure.ts"
import type { SessionId, TokenId } from "../../domain/Ids.ts"
import type { Claim } from "../../domain/Run.ts"
import type { AgentName, Session, SessionRequest, TurnRequest } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { LiveRuns } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { makeClosing } from "./Closing.ts"
import { makeSessionQueues } from "./SessionQueues.ts"
import { makeOpening } from "./Opening.ts"
import type { OpenTurn } from "./Report.ts"
import { makeTurns } from "./Turns.ts"
import { agentSessionOf } from "../runs/executors/Turn.ts"

/** Limits of sessions: unset, the contract's defaults. */
export interface SessionPoolOptions {
  /** Agents that may be asked for. */
  readonly agents: { readonly has: (agent: AgentName) => boolean }
  /** Sessions that may be open at once, of all apps together; 32. */
  readonly maxLiveSessions?: number
  /** Turns that may wait on one session; 32. */
  readonly maxQueuedTurns?: number
}

/** Sessions: conversations with agents. Each belongs to one app; to all others it does not exist. */
export class SessionPool extends Context.Tag("clawdforge/SessionPool")<
  SessionPool,
  {
    /**
     * Opens a session, or leaves no trace of it. `InvalidRequest` for an agent or a model that is not offered. A claim
     * is recorded with the session.
     */
    readonly open: (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
      claim?: Claim,
    ) => Effect.Effect<
      Session,
      InvalidRequest | PoolFull | AgentRefusal | ShuttingDown | Unauthorized | StorageFailed
    >
    /**
     * Accepts a turn: from here on it has an id, a row and an outcome, whatever happens to the caller. The turns of a
     * session run one at a time, in the order in which they were accepted. A claim is recorded with the turn.
     */
    readonly turn: (
      session: SessionId,
      request: TurnRequest,
      owner: TokenId,
      origin: Origin,
      claim?: Claim,
    ) => Effect.Effect<
      OpenTurn,
      | SessionNotFound
      | SessionClosed
      | SessionBusy
      | FileNotFound
      | ShuttingDown
      | Unauthorized
      | StorageFailed
    >
    /** Cancels the session's turns, at work or waiting, and waits for their outcomes. False when there were none. */
    readonly cancel: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<boolean, SessionNotFound | StorageFailed>
    readonly get: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<Session, SessionNotFound | StorageFailed>
    /** The app's own, newest first. */
    readonly list: (
      owner: TokenId,
      options: { readonly includeClosed: boolean },
    ) => Effect.Effect<ReadonlyArray<Session>, StorageFailed>
    /**
     * Closes a session; its turns, at work or waiting, end as cancelled first. Again, it changes nothing. Returns when
     * its agent has let go of it and its directory is gone.
     */
    readonly close: (
      session: SessionId,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyClosed: boolean }, SessionNotFound | StorageFailed>
    /** Closes all sessions of an app whose token was revoked, and ends its agents; does not wait for them. */
    readonly endOf: (owner: TokenId, origin: Origin) => Effect.Effect<void>
    /** Closes a session that is idle since then, and has no turn that is not finished; false when it is not. */
    readonly closeIdle: (session: Session, idleSince: number) => Effect.Effect<boolean, StorageFailed>
    /**
     * Deletes a closed session for ever: the agent's own record of it, then ours; false when it was gone, or is not let
     * go of yet.
     */
    readonly erase: (session: SessionId) => Effect.Effect<boolean, AgentRefusal | StorageFailed>
    /** How many sessions are open, of all apps. */
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
        const live = yield* LiveRuns
        const scope = yield* Effect.scope
        const open = yield* makeOpening({ agents: options.agents, limit: options.maxLiveSessions ?? 32 })
        const turn = yield* makeTurns(yield* makeSessionQueues(options.maxQueuedTurns ?? 32))
        const { close, closeIdle, isLeaving } = yield* makeClosing

        // A deaf agent must not hold up a service that stops.
        yield* live.graceOver.pipe(Effect.zipRight(client.endAll), Effect.forkScoped)

        const owned = Effect.fn("SessionPool.get")(function* (id: SessionId, owner: TokenId) {
          const found = Option.filter(yield* sessions.find(id), ({ tokenId }) => tokenId === owner)
          return yield* Effect.mapError(found, () => new SessionNotFound())
        })

        return {
          open: (request, owner, origin, claim) =>
            open(request, owner, origin, claim).pipe(
              // Its token was revoked meanwhile; what was started for it came too late to be ended with the rest.
              Effect.tapErrorTag("Unauthorized", () => client.endOf(owner)),
            ),
          turn: (id, request, owner, origin, claim) =>
            live.accepting.pipe(
              Effect.zipRight(owned(id, owner)),
              Effect.flatMap((session) => turn(session, request, owner, origin, claim)),
            ),
          cancel: (id, owner) => Effect.zipRight(owned(id, owner), live.cancel(id)),
          get: owned,
          list: sessions.list,
          close: (id, owner, origin) =>
            owned(id, owner).pipe(
              Effect.flatMap((session) => close(session, origin)),
              Effect.map((closed) => ({ alreadyClosed: !closed })),
            ),
          endOf: (owner, origin) =>
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
              // Who revokes a token cannot be interrupted; who closes its sessions can, or a stop would wait for that.
              Effect.interruptible,
              Effect.forkIn(scope),
              Effect.asVoid,
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
            if (session?.status !== "closed" || isLeaving(id)) return false
            if (session.ref !== null) {
              yield* client.erase(agentSessionOf(session, dirs.of(id)), session.ref).pipe(
                // An agent that is not there any more keeps nothing that we could ask it to delete.
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
