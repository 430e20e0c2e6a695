import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import { CLAUDE, OpenedSession } from "../../domain/Session.ts"
import { App } from "../../domain/Viewer.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { makeAcceptOnce, makeOnce } from "../IdempotentRequests.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { note, orProblem } from "../RequestContext.ts"
import { sessionIdOf } from "../SessionLookup.ts"
import {
  cancelOnDisconnect,
  makeRunAnswers,
  optionsOf,
  prefersEvents,
  turnAnswer,
} from "../views/RunAnswers.ts"
import { openedSessionAnswer, sessionAnswer } from "../views/SessionAnswers.ts"
import type { RunDefaults } from "./Run.ts"

export const SessionsHandlers = (defaults: RunDefaults) =>
  HttpApiBuilder.group(Api, "sessions", (handlers) =>
    Effect.gen(function* () {
      const pool = yield* SessionPool
      const once = yield* makeOnce
      const acceptOnce = yield* makeAcceptOnce
      const answers = yield* makeRunAnswers
      const streams = yield* OpenStreams
      return handlers
        .handle("openSession", ({ payload, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const agent = payload.agent ?? CLAUDE
            const request = {
              agent,
              // Other agents have models of other names.
              model: payload.model ?? (agent === CLAUDE ? defaults.model : null),
              meta: payload.meta ?? null,
              permissionMode: payload.permission_mode ?? "approve-all",
            }
            const session = yield* once(
              { headers, owner: token.id, route: "POST /sessions", fields: payload, origin },
              OpenedSession,
              (origin) => pool.open(request, token.id, origin),
            )
            yield* note("session_id", session.id)
            return openedSessionAnswer(session)
          }).pipe(orProblem),
        )
        .handle("listSessions", ({ urlParams }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const includeClosed = urlParams.include_closed !== "false"
            const sessions = yield* pool.list(token.id, { includeClosed })
            return { ok: true as const, sessions: sessions.map(sessionAnswer) }
          }).pipe(orProblem),
        )
        .handle("takeTurn", ({ request: httpRequest, path, payload, urlParams, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const viewer = App({ tokenId: token.id })
            const id = yield* sessionIdOf(path.id)
            const request = {
              prompt: payload.prompt,
              timeoutSecs: payload.timeout_secs ?? defaults.timeoutSecs,
              files: payload.files ?? [],
            }
            const onDisconnect = payload.on_disconnect ?? "continue"
            const options = optionsOf(urlParams)
            if (prefersEvents(httpRequest)) yield* streams.admit(viewer)
            const { accepted, replayed } = yield* acceptOnce(
              { headers, owner: token.id, route: `POST /sessions/${id}/turn`, fields: payload, origin },
              (origin) => cancelOnDisconnect(onDisconnect, pool.turn(id, request, token.id, origin)),
            )
            if (accepted === undefined) {
              return prefersEvents(httpRequest)
                ? answers.stream(httpRequest, viewer, replayed, options)
                : turnResponse(yield* answers.turn(replayed, options))
            }
            const { requestId } = origin
            const run = { id: accepted.id, sessionId: id, turnIndex: accepted.index, requestId }
            if (prefersEvents(httpRequest)) return answers.stream(httpRequest, viewer, run, options)
            const report = yield* accepted.answer
            return turnResponse(turnAnswer(run, report, report.events, options))
          }).pipe(orProblem),
        )
        .handle("cancelTurns", ({ path }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            return { ok: true as const, cancelled: yield* pool.cancel(yield* sessionIdOf(path.id), token.id) }
          }).pipe(orProblem),
        )
        .handle("readSession", ({ path }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            return {
              ok: true as const,
              ...sessionAnswer(yield* pool.get(yield* sessionIdOf(path.id), token.id)),
            }
          }).pipe(orProblem),
        )
        .handle("closeSession", ({ path }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const id = yield* sessionIdOf(path.id)
            const { alreadyClosed } = yield* pool.close(id, token.id, origin)
            return { ok: true as const, session_id: id, already_closed: alreadyClosed }
          }).pipe(orProblem),
        )
    }),
  )

/** Passes the answer on. One without events, which the declaration does not have, is a response of its own. */
const turnResponse = (answer: ReturnType<typeof turnAnswer>) => {
  const { events } = answer
  return events === undefined ? HttpServerResponse.unsafeJson(answer) : { ...answer, events }
}
