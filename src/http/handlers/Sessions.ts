import { HttpApiBuilder } from "@effect/platform"
import { Effect, Schema } from "effect"
import { SessionNotFound } from "../../domain/Failure.ts"
import { SessionId } from "../../domain/Ids.ts"
import { AgentName, type Session } from "../../domain/Session.ts"
import { SessionPool } from "../../services/SessionPool.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { toSeconds, toSecondsOrNull } from "../groups/Wire.ts"
import { note, orProblem, setHeaders } from "../RequestContext.ts"
import { makeRunAnswers, prefersEvents, turnAnswer } from "../RunAnswers.ts"
import type { RunDefaults } from "./Run.ts"

const CLAUDE = AgentName.make("claude")

export const SessionsHandlers = (defaults: Pick<RunDefaults, "timeoutSecs">) =>
  HttpApiBuilder.group(Api, "sessions", (handlers) =>
    Effect.gen(function* () {
      const pool = yield* SessionPool
      const answers = yield* makeRunAnswers
      return handlers
        .handle("openSession", ({ payload }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const request = {
              agent: payload.agent ?? CLAUDE,
              model: payload.model ?? null,
              meta: payload.meta ?? null,
              permissionMode: payload.permission_mode ?? "approve-all",
            }
            const session = yield* pool.open(request, token.id, origin)
            yield* note("session_id", session.id)
            return { ok: true as const, ...identityOf(session), created_at: toSeconds(session.createdAt) }
          }).pipe(orProblem),
        )
        .handle("listSessions", ({ urlParams }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const sessions = yield* pool.list(token.id, {
              includeClosed: urlParams.include_closed !== "false",
            })
            return { ok: true as const, sessions: sessions.map(stateOf) }
          }).pipe(orProblem),
        )
        .handle("takeTurn", ({ request: asked, path, payload }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const id = yield* known(path.id)
            const request = {
              prompt: payload.prompt,
              timeoutSecs: payload.timeout_secs ?? defaults.timeoutSecs,
              files: payload.files ?? [],
            }
            const turn = yield* pool.turn(id, request, token.id, origin)
            yield* note("run_id", turn.id)
            yield* setHeaders({ "x-run-id": turn.id })
            // The request's scope: it closes when all is sent, or when nobody is there any more.
            if (payload.on_disconnect === "cancel") yield* Effect.addFinalizer(() => turn.cancel)
            const accepted = { ...turn, sessionId: id, turnIndex: turn.index, requestId: origin.requestId }
            if (prefersEvents(asked)) return answers.stream(asked, token.id, accepted)
            const report = yield* turn.answer
            return turnAnswer(accepted, report, report.events)
          }).pipe(orProblem),
        )
        .handle("cancelTurns", ({ path }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            return { ok: true as const, cancelled: yield* pool.cancel(yield* known(path.id), token.id) }
          }).pipe(orProblem),
        )
        .handle("readSession", ({ path }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const session = yield* pool.get(yield* known(path.id), token.id)
            return { ok: true as const, ...stateOf(session) }
          }).pipe(orProblem),
        )
        .handle("closeSession", ({ path }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const id = yield* known(path.id)
            const { alreadyClosed } = yield* pool.close(id, token.id, origin)
            return { ok: true as const, session_id: id, already_closed: alreadyClosed }
          }).pipe(orProblem),
        )
    }),
  )

/** What no session could be called is no session's name. */
const known = (id: string) => (Schema.is(SessionId)(id) ? Effect.succeed(id) : new SessionNotFound())

const identityOf = ({ id, agent, model, meta }: Session) => ({ session_id: id, agent, model, meta })

const stateOf = (session: Session) => ({
  ...identityOf(session),
  status: session.status,
  turn_count: session.turnCount,
  created_at: toSeconds(session.createdAt),
  last_turn_at: toSecondsOrNull(session.lastTurnAt),
  closed_at: toSecondsOrNull(session.closedAt),
})
