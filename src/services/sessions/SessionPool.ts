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
import type { AgentName, Session, SessionRequest, TurnRequest } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Origin.ts"
import { Revocation } from "../access/Revocation.ts"
import { AcpxClient } from "../agents/AcpxClient.ts"
import { Ledger } from "../journal/Ledger.ts"
import { makeTurnExecutor } from "../runs/executors/Turn.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { makeClosing } from "./Closing.ts"
import { makeOpening } from "./Opening.ts"
import type { OpenTurn } from "./Report.ts"
import { makeTurns } from "./Turns.ts"
import { agentSessionOf } from "./AgentSession.ts"

/** Limits of sessions. An option that is not set has the contract's default. */
export interface SessionPoolOptions {
  /** Agents that may be asked for. */
  readonly agents: { readonly has: (agent: AgentName) => boolean }
  /** Sessions that may be open at once, of all apps together; 32. */
  readonly maxLiveSessions?: number
  /** Turns that may wait on one session; 32. */
  readonly maxQueuedTurns?: number
}

/** Conversations with agents. Each belongs to one app; for every other app it does not exist. */
export class SessionPool extends Context.Tag("clawdforge/SessionPool")<
  SessionPool,
  {
    /** Opens a session, or leaves no trace of it. Fails with `InvalidRequest` for an agent or a model not offered. */
    readonly open: (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      Session,
      InvalidRequest | PoolFull | AgentRefusal | ShuttingDown | Unauthorized | StorageFailed
    >
    /**
     * Accepts a turn. From here on it has an id, a row and an outcome, whatever happens to the caller. The turns of a
     * session run one at a time, in the order in which they were accepted.
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
      | FileNotFound
      | ShuttingDown
      | Unauthorized
      | StorageFailed
    >
    /** Cancels the session's turns, queued or running, and waits for their outcomes. Returns false if there was none. */
    readonly cancel: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<boolean, SessionNotFound | StorageFailed>
    /** Returns a session of the app's own; any other is `SessionNotFound`. */
    readonly get: (
      session: SessionId,
      owner: TokenId,
    ) => Effect.Effect<Session, SessionNotFound | StorageFailed>
    /** Returns the app's own sessions, newest first. */
    readonly list: (
      owner: TokenId,
      options: { readonly includeClosed: boolean },
    ) => Effect.Effect<ReadonlyArray<Session>, StorageFailed>
    /**
     * Closes a session. Its turns, queued or running, end as cancelled first. Closed again, it changes nothing. Returns
     * when its agent has released it and its directory is gone.
     */
    readonly close: (
      session: SessionId,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyClosed: boolean }, SessionNotFound | StorageFailed>
    /** Closes a session that has been idle since `idleSince` and has no unfinished turn. Returns whether it did. */
    readonly closeIdle: (session: Session, idleSince: number) => Effect.Effect<boolean, StorageFailed>
    /**
     * Deletes a closed session for ever: the agent's own record of it, then ours. Returns false if it was gone, or is not
     * released by its agent yet.
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
        yield* engine.register(yield* makeTurnExecutor({ maxQueuedTurns: options.maxQueuedTurns ?? 32 }))
        const open = yield* makeOpening({ agents: options.agents, limit: options.maxLiveSessions ?? 32 })
        const turn = yield* makeTurns
        const { close, closeIdle, isLeaving } = yield* makeClosing

        // An agent that does not obey must not hold up a service that stops.
        yield* engine.graceOver.pipe(Effect.zipRight(client.endAll), Effect.forkScoped)

        const owned = Effect.fn("SessionPool.get")(function* (id: SessionId, owner: TokenId) {
          const found = Option.filter(yield* sessions.find(id), ({ tokenId }) => tokenId === owner)
          return yield* Effect.mapError(found, () => new SessionNotFound())
        })

        /** Closes all sessions of an app, and ends its agents. Does not wait for it. */
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
            // The revocation cannot be interrupted. This can, or a stop would wait for it.
            Effect.interruptible,
            Effect.forkIn(scope),
            Effect.asVoid,
          )
        yield* revocation.register(endOfApp)

        return {
          open: (request, owner, origin) =>
            open(request, owner, origin).pipe(
              // The token was revoked meanwhile: an agent that was started for it came too late for the revocation.
              Effect.tapErrorTag("Unauthorized", () => client.endOf(owner)),
            ),
          turn: (id, request, owner, origin) =>
            engine.accepting.pipe(
              Effect.zipRight(owned(id, owner)),
              Effect.flatMap((session) => turn(session, request, owner, origin)),
            ),
          cancel: (id, owner) => Effect.zipRight(owned(id, owner), engine.cancel(id)),
          get: owned,
          list: sessions.list,
          close: (id, owner, origin) =>
            owned(id, owner).pipe(
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
            if (session?.status !== "closed" || isLeaving(id)) return false
            if (session.ref !== null) {
              yield* client.erase(agentSessionOf(session, dirs.of(id)), session.ref).pipe(
                // An agent that is not installed any longer has no record that we could ask it to delete.
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
