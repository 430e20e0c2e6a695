import {
  Cause,
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Option,
  Schedule,
  Scope,
} from "effect"
import {
  type AgentRefusal,
  type FileNotFound,
  InvalidRequest,
  type PoolFull,
  type SessionBusy,
  SessionClosed,
  SessionNotFound,
  type ShuttingDown,
  type StorageFailed,
  type TurnFailure,
  type Unauthorized,
} from "../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../domain/Ids.ts"
import type {
  AgentName,
  AgentSessionRef,
  Session,
  SessionRecord,
  SessionRequest,
  TurnRequest,
} from "../domain/Session.ts"
import type { Origin } from "../domain/Token.ts"
import { type AcpMessage, AcpxClient } from "./AcpxClient.ts"
import { Files } from "./Files.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "./Ledger.ts"
import { LiveRuns } from "./LiveRuns.ts"
import type { Measured } from "./runs/Report.ts"
import { SessionDirs } from "./SessionDirs.ts"
import { makeLanes } from "./sessions/Lanes.ts"
import { agentSessionOf, makeTurnWork } from "./sessions/TurnWork.ts"

/** How soon a ledger that failed is asked again. */
const UNDO_INTERVAL = "5 seconds"

/** Limits of sessions: unset, the contract's defaults. */
export interface SessionPoolOptions {
  /** Agents that may be asked for. */
  readonly agents: { readonly has: (agent: AgentName) => boolean }
  /** Sessions that may be open at once, of all apps together; 32. */
  readonly maxLiveSessions?: number
  /** Turns that may wait on one session; 32. */
  readonly maxQueuedTurns?: number
}

/** What a turn came to. */
export interface TurnReport extends Measured {
  /** The agent's messages of this turn, in order; the last is the result. Empty when it was cancelled before its start. */
  readonly events: ReadonlyArray<AcpMessage>
}

/** An accepted turn. It goes on by itself, whoever waits for it, until its recorded outcome. */
export interface OpenTurn {
  readonly id: RunId
  /** Counts the session's turns, from 1. */
  readonly index: number
  /** Waits for the outcome, which is recorded by then. A cancelled turn is a report, not a failure. */
  readonly answer: Effect.Effect<TurnReport, TurnFailure>
}

/** Sessions: conversations with agents. Each belongs to one app; to all others it does not exist. */
export class SessionPool extends Context.Tag("clawdforge/SessionPool")<
  SessionPool,
  {
    /** Opens a session, or leaves no trace of it. `InvalidRequest` for an agent or a model that is not offered. */
    readonly open: (
      request: SessionRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      Session,
      InvalidRequest | PoolFull | AgentRefusal | ShuttingDown | Unauthorized | StorageFailed
    >
    /**
     * Accepts a turn: from here on it has an id, a row and an outcome, whatever happens to the caller. The turns of a
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
    /** Deletes a closed session for ever: the agent's own record of it, then ours; false when it was gone. */
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
        const files = yield* Files
        const ids = yield* Ids
        const { sessions, runs } = yield* Ledger
        const live = yield* LiveRuns
        const work = yield* makeTurnWork
        const lanes = yield* makeLanes(options.maxQueuedTurns ?? 32)
        const limit = options.maxLiveSessions ?? 32
        // What has begun goes on, whoever waits for it.
        const tasks = yield* FiberSet.make<unknown, unknown>()
        const scope = yield* Effect.scope

        /** The rest of it, in any case; who waits may leave. */
        const seenThrough = <A, E>(rest: Effect.Effect<A, E>): Effect.Effect<A, E> =>
          Effect.flatMap(
            Effect.flatMap(Effect.forkDaemon(Effect.interruptible(rest)), (fiber) =>
              Effect.as(FiberSet.add(tasks, fiber), fiber),
            ).pipe(Effect.uninterruptible),
            Fiber.join,
          )

        const logged = (what: string) => (failure: StorageFailed) =>
          Effect.logWarning(what, Cause.die(failure.cause))

        const owned = Effect.fn("SessionPool.owned")(function* (id: SessionId, owner: TokenId) {
          const found = Option.filter(yield* sessions.find(id), ({ tokenId }) => tokenId === owner)
          return yield* Effect.mapError(found, () => new SessionNotFound())
        })

        const removeDir = (id: SessionId) =>
          Effect.catchAll(dirs.remove(id), logged("a session's directory is not removed yet"))

        /** A server that died may have left sessions half open. */
        yield* Effect.flatMap(sessions.abandonAll, (left) =>
          Effect.forEach(left, removeDir, { discard: true, concurrency: 8 }),
        )

        // A deaf agent must not hold up a service that stops.
        yield* live.graceOver.pipe(Effect.zipRight(client.endAll), Effect.forkScoped)

        const open = Effect.fn("SessionPool.open")(function* (
          request: SessionRequest,
          owner: TokenId,
          origin: Origin,
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
          const agentSession = agentSessionOf(opening, dirs.of(id))
          let ref: AgentSessionRef | undefined
          yield* Effect.acquireUseRelease(
            sessions.reserve(opening, limit),
            () =>
              Effect.gen(function* () {
                yield* dirs.make(id)
                ref = yield* client.open(agentSession, Option.none())
                yield* sessions.activate(id, ref, at)
              }),
            (_, exit) =>
              Exit.isSuccess(exit)
                ? Effect.void
                : Effect.gen(function* () {
                    if (ref !== undefined) yield* client.close(agentSession, ref)
                    yield* removeDir(id)
                    yield* abandon(id)
                  }),
          )
          const fresh = { status: "open", turnCount: 0, lastTurnAt: null, closedAt: null } as const
          return { ...request, ...fresh, id, tokenId: owner, createdAt: at }
        })

        /** Gives back the place of a session that came to nothing; by a ledger that fails, as soon as it does no more. */
        const abandon = (id: SessionId) =>
          Effect.catchAll(sessions.abandon(id), (failure) =>
            Effect.zipRight(
              logged("a session that did not open is not removed yet")(failure),
              Effect.forkIn(Effect.retry(sessions.abandon(id), Schedule.spaced(UNDO_INTERVAL)), scope),
            ),
          )

        const turn = Effect.fn("SessionPool.turn")(function* (
          id: SessionId,
          request: TurnRequest,
          owner: TokenId,
          origin: Origin,
        ) {
          yield* live.accepting
          const session = yield* owned(id, owner)
          if (session.status === "closed") return yield* new SessionClosed()
          // What the turn holds, it holds until its own end, which is not its caller's.
          const held = yield* Scope.make()
          let accepted = false
          return yield* Effect.gen(function* () {
            const attached = yield* files.hold(request.files, owner)
            const lane = yield* lanes.of(id)
            return yield* lane.alone(
              Effect.gen(function* () {
                const { turn, place } = yield* lane.enter
                const runId = yield* ids.run
                const opened = {
                  id: runId,
                  tokenId: owner,
                  promptChars: request.prompt.length,
                  origin,
                  at: yield* Clock.currentTimeMillis,
                }
                const { recorded, answer } = yield* live
                  .begin<TurnReport, TurnFailure, number, TurnRefusal>({
                    id: runId,
                    owner,
                    record: runs.openTurn(opened, id),
                    slot: Effect.raceFirst(place.slot, Deferred.await(turn.cancelled)),
                    work: (startedAt, index) =>
                      work({ session, index, request, files: attached, turn }, startedAt),
                    leave: Scope.close(held, Exit.void),
                  })
                  .pipe(
                    Effect.tap(() =>
                      Effect.sync(() => {
                        accepted = true
                      }),
                    ),
                    Effect.uninterruptible,
                  )
                return { id: runId, index: recorded, answer }
              }),
            )
          }).pipe(
            Scope.extend(held),
            Effect.onExit((exit) => (accepted ? Effect.void : Scope.close(held, exit))),
          )
        })

        /** All that is left to do once the ledger has a session as closed. */
        const letGo = (session: SessionRecord) =>
          Effect.gen(function* () {
            yield* lanes.cancel(session.id)
            yield* lanes.empty(session.id)
            if (session.ref !== null) {
              yield* client.close(agentSessionOf(session, dirs.of(session.id)), session.ref)
            }
            yield* removeDir(session.id)
          })

        const closeOne = (session: SessionRecord, origin: Origin | null) =>
          Effect.gen(function* () {
            const closed = yield* sessions.close(session.id, yield* Clock.currentTimeMillis, origin)
            if (closed) yield* letGo(session)
            return closed
          })

        return {
          open,
          turn,
          get: owned,
          list: sessions.list,
          close: (id, owner, origin) =>
            Effect.gen(function* () {
              const session = yield* owned(id, owner)
              const closed = yield* seenThrough(closeOne(session, origin))
              return { alreadyClosed: !closed }
            }).pipe(Effect.withSpan("SessionPool.close")),
          endOf: (owner, origin) =>
            Effect.gen(function* () {
              const open = yield* sessions.list(owner, { includeClosed: false })
              yield* Effect.forEach(open, (session) => closeOne(session, origin), {
                discard: true,
                concurrency: "unbounded",
              })
            }).pipe(
              Effect.catchAll(logged("the sessions of a revoked token are not closed yet")),
              Effect.zipRight(client.endOf(owner)),
              Effect.forkIn(scope),
              Effect.asVoid,
            ),
          closeIdle: (session, idleSince) =>
            Effect.gen(function* () {
              const found = yield* sessions.find(session.id)
              if (Option.isNone(found)) return false
              const now = yield* Clock.currentTimeMillis
              const closed = yield* sessions.closeIdle(session.id, idleSince, now)
              if (closed) yield* letGo(found.value)
              return closed
            }).pipe(Effect.withSpan("SessionPool.closeIdle")),
          erase: (id) =>
            Effect.gen(function* () {
              const found = Option.getOrUndefined(yield* sessions.find(id))
              if (found?.status !== "closed") return false
              if (found.ref !== null) {
                yield* client.erase(agentSessionOf(found, dirs.of(id)), found.ref).pipe(
                  // An agent that is not there any more keeps nothing that we could ask it to delete.
                  Effect.catchTag("ExecutableMissing", () => Effect.void),
                )
              }
              yield* dirs.remove(id)
              return yield* sessions.remove(id, yield* Clock.currentTimeMillis)
            }).pipe(Effect.withSpan("SessionPool.erase")),
          openSessions: sessions.countOpen,
        }
      }),
    )
}

/** Why the ledger takes no turn. */
type TurnRefusal = SessionNotFound | SessionClosed | Unauthorized | StorageFailed
