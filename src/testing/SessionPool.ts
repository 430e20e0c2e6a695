import { Clock, Deferred, Duration, Effect, Exit, Layer, type Scope } from "effect"
import {
  PoolFull,
  RunTimedOut,
  SessionBusy,
  SessionClosed,
  SessionNotFound,
  type TurnFailure,
} from "../domain/Failure.ts"
import type { SessionId, TokenId } from "../domain/Ids.ts"
import type { Session, SessionRequest, TurnRequest } from "../domain/Session.ts"
import { App, maySee, type Viewer } from "../domain/Viewer.ts"
import { Ids } from "../services/access/Ids.ts"
import { Revocation } from "../services/access/Revocation.ts"
import { SessionPool } from "../services/sessions/SessionPool.ts"
import type { TurnReport } from "../services/runs/Report.ts"

/** A turn to answer. */
export interface MockTurn extends TurnRequest {
  readonly session: Session
  /** The turn's number in its session, from 1. */
  readonly index: number
}

/** Makes the report of a turn with that answer. `more` replaces fields that the test is about. */
export const turnReport = (text: string, more: Partial<TurnReport> = {}): TurnReport => {
  const update = { sessionUpdate: "agent_message_chunk", content: { type: "text", text } }
  return {
    events: [
      { jsonrpc: "2.0", method: "session/update", params: { sessionId: "mock", update } },
      { jsonrpc: "2.0", id: 1, result: { stopReason: "end_turn" } },
    ],
    durationMs: 0,
    stopReason: "end_turn",
    responseChars: text.length,
    usage: null,
    costUsd: null,
    ...more,
  }
}

/**
 * Sessions in memory, without agents and files, until the layer closes. Each turn is answered by `reply`, one at a time
 * in each session. A revocation closes the sessions of its app. There is no limit unless `options` has one.
 */
export const sessionPool = (
  reply: (turn: MockTurn) => Effect.Effect<TurnReport, TurnFailure>,
  options: { readonly maxLiveSessions?: number; readonly maxQueuedTurns?: number } = {},
) =>
  Layer.scoped(
    SessionPool,
    Effect.gen(function* () {
      const { maxLiveSessions = Number.POSITIVE_INFINITY, maxQueuedTurns = Number.POSITIVE_INFINITY } =
        options
      const ids = yield* Ids
      const scope = yield* Effect.scope
      const sessions = new Map<SessionId, MockSession>()
      const all = () => [...sessions.values()]
      const countOpen = () => all().filter(({ isOpen }) => isOpen).length
      const find = (id: SessionId, viewer: Viewer) =>
        Effect.suspend(() => {
          const session = sessions.get(id)
          return session !== undefined && maySee(viewer, session.state.tokenId)
            ? Effect.succeed(session)
            : new SessionNotFound()
        })
      const getOwned = (id: SessionId, owner: TokenId) => find(id, App({ tokenId: owner }))
      const close = (session: MockSession) => Effect.map(Clock.currentTimeMillis, (now) => session.close(now))
      const { register } = yield* Revocation
      yield* register((owner) =>
        Effect.forEach(
          all().filter(({ state }) => state.tokenId === owner),
          close,
          { discard: true },
        ),
      )

      return {
        open: (request, owner) =>
          Effect.gen(function* () {
            const [id, now] = [yield* ids.session, yield* Clock.currentTimeMillis]
            if (countOpen() >= maxLiveSessions) return yield* new PoolFull({ limit: maxLiveSessions })
            const session = new MockSession(id, owner, request, now)
            sessions.set(id, session)
            return session.state
          }),
        turn: (id, request, owner) =>
          Effect.gen(function* () {
            const session = yield* getOwned(id, owner)
            const [run, now] = [yield* ids.run, yield* Clock.currentTimeMillis]
            if (!session.isOpen) return yield* new SessionClosed()
            if (session.unfinished > maxQueuedTurns) return yield* new SessionBusy({ limit: maxQueuedTurns })
            const index = session.accept(now)
            const turn = { ...request, session: session.state, index }
            return { id: run, index, ...(yield* session.answer(turn, reply, scope)) }
          }),
        cancel: (id, owner) => Effect.flatMap(getOwned(id, owner), (session) => session.cancel),
        get: (id, owner) => Effect.map(getOwned(id, owner), ({ state }) => state),
        find: (id, viewer) => Effect.map(find(id, viewer), ({ state }) => state),
        list: (owner, { includeClosed }) =>
          Effect.sync(() =>
            all()
              .filter(({ state, isOpen }) => state.tokenId === owner && (isOpen || includeClosed))
              .map(({ state }) => state)
              .toReversed(),
          ),
        close: (id, owner) =>
          Effect.map(Effect.flatMap(getOwned(id, owner), close), (closed) => ({ alreadyClosed: !closed })),
        closeIdle: ({ id }, idleSince) =>
          Effect.suspend(() => {
            const session = sessions.get(id)
            return session?.isIdle(idleSince) === true ? close(session) : Effect.succeed(false)
          }),
        erase: (id) => Effect.sync(() => sessions.get(id)?.isOpen === false && sessions.delete(id)),
        openSessions: Effect.sync(countOpen),
      }
    }),
  )

class MockSession {
  state: Session
  /** The cancellations of all unfinished turns. */
  readonly #cancellations = new Set<Effect.Effect<void>>()
  readonly #turnLock = Effect.unsafeMakeSemaphore(1)
  readonly #closed = Effect.runSync(Deferred.make<void>())

  constructor(id: SessionId, tokenId: TokenId, request: SessionRequest, createdAt: number) {
    const initial = { status: "open", turnCount: 0, createdAt, lastTurnAt: null, closedAt: null } as const
    this.state = { ...request, id, tokenId, ...initial }
  }

  /** How many turns are unfinished. */
  get unfinished(): number {
    return this.#cancellations.size
  }

  /** Cancels all unfinished turns and waits for their answers. Returns false if there were none. */
  get cancel(): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const cancellations = [...this.#cancellations]
      return Effect.as(Effect.all(cancellations, { discard: true }), cancellations.length > 0)
    })
  }

  get isOpen(): boolean {
    return this.state.status === "open"
  }

  isIdle(since: number): boolean {
    return this.isOpen && this.unfinished === 0 && (this.state.lastTurnAt ?? this.state.createdAt) <= since
  }

  /** Counts a turn. Returns its index. */
  accept(now: number): number {
    this.state = { ...this.state, turnCount: this.state.turnCount + 1, lastTurnAt: now }
    return this.state.turnCount
  }

  /** Answers a turn after the turns before it, whether or not anybody waits for the answer. */
  answer(turn: MockTurn, reply: Parameters<typeof sessionPool>[0], scope: Scope.Scope) {
    const report = reply(turn).pipe(
      Effect.timeoutFail({
        duration: Duration.seconds(turn.timeoutSecs),
        onTimeout: () => new RunTimedOut({ timeoutSecs: turn.timeoutSecs }),
      }),
      this.#turnLock.withPermits(1),
    )
    const cancelled = turnReport("", { events: [], stopReason: "cancelled" })
    return Effect.gen(this, function* () {
      const outcome = yield* Deferred.make<TurnReport, TurnFailure>()
      const cancelling = yield* Deferred.make<void>()
      const answer = Deferred.await(outcome)
      const cancel = Effect.zipRight(Deferred.succeed(cancelling, undefined), Effect.ignore(answer))
      this.#cancellations.add(cancel)
      const ended = Effect.raceFirst(Deferred.await(this.#closed), Deferred.await(cancelling))
      yield* Effect.raceFirst(report, Effect.as(ended, cancelled)).pipe(
        Effect.onExit(() =>
          Effect.map(Clock.currentTimeMillis, (lastTurnAt) => {
            this.#cancellations.delete(cancel)
            this.state = { ...this.state, lastTurnAt }
          }),
        ),
        Effect.intoDeferred(outcome),
        Effect.forkIn(scope),
      )
      return { answer, cancel }
    })
  }

  /** Closes the session and ends its turns as cancelled. Returns false if it was closed before. */
  close(now: number): boolean {
    if (!this.isOpen) return false
    this.state = { ...this.state, status: "closed", closedAt: now }
    Deferred.unsafeDone(this.#closed, Exit.void)
    return true
  }
}
