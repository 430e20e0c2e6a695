import { HttpApiBuilder } from "@effect/platform"
import { Effect, Schema } from "effect"
import { SessionNotFound } from "../../domain/Failure.ts"
import { SessionId } from "../../domain/Ids.ts"
import { AgentName, OpenedSession } from "../../domain/Session.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { makeBeginOnce, makeOnce } from "../Idempotency.ts"
import { note, orProblem } from "../RequestContext.ts"
import { makeRunAnswers, prefersEvents, turnAnswer, unlessGone } from "../views/RunAnswers.ts"
import { openedOf, stateOf } from "../views/SessionAnswers.ts"
import type { RunDefaults } from "./Run.ts"

const CLAUDE = AgentName.make("claude")

export const SessionsHandlers = (defaults: Pick<RunDefaults, "timeoutSecs">) =>
  HttpApiBuilder.group(Api, "sessions", (handlers) =>
    Effect.gen(function* () {
      const pool = yield* SessionPool
      const once = yield* makeOnce
      const beginOnce = yield* makeBeginOnce
      const answers = yield* makeRunAnswers
      return handlers
        .handle("openSession", ({ payload, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const request = {
              agent: payload.agent ?? CLAUDE,
              model: payload.model ?? null,
              meta: payload.meta ?? null,
              permissionMode: payload.permission_mode ?? "approve-all",
            }
            const asked = { headers, owner: token.id, route: "POST /sessions", asked: payload } as const
            const session = yield* once(asked, OpenedSession, (claim) =>
              pool.open(request, token.id, origin, claim),
            )
            yield* note("session_id", session.id)
            return openedOf(session)
          }).pipe(orProblem),
        )
        .handle("listSessions", ({ urlParams }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const includeClosed = urlParams.include_closed !== "false"
            const sessions = yield* pool.list(token.id, { includeClosed })
            return { ok: true as const, sessions: sessions.map(stateOf) }
          }).pipe(orProblem),
        )
        .handle("takeTurn", ({ request: asked, path, payload, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const id = yield* known(path.id)
            const request = {
              prompt: payload.prompt,
              timeoutSecs: payload.timeout_secs ?? defaults.timeoutSecs,
              files: payload.files ?? [],
            }
            const silent = payload.on_disconnect ?? "continue"
            const { begun, again } = yield* beginOnce(
              { headers, owner: token.id, route: `POST /sessions/${id}/turn`, asked: payload },
              (claim) => unlessGone(silent, pool.turn(id, request, token.id, origin, claim)),
            )
            if (begun === undefined) {
              return prefersEvents(asked)
                ? answers.stream(asked, token.id, again)
                : yield* answers.turnAgain(again)
            }
            const accepted = { ...begun, sessionId: id, turnIndex: begun.index, requestId: origin.requestId }
            if (prefersEvents(asked)) return answers.stream(asked, token.id, accepted)
            const report = yield* begun.answer
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
            return { ok: true as const, ...stateOf(yield* pool.get(yield* known(path.id), token.id)) }
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
