import { HttpApiBuilder, type HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"
import { App } from "../../domain/Viewer.ts"
import { Runs } from "../../services/runs/Runs.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { makeAcceptOnce } from "../IdempotentRequests.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { note, orProblem } from "../RequestContext.ts"
import { runIdOf } from "../RunLookup.ts"
import {
  cancelOnDisconnect,
  makeRunAnswers,
  optionsOf,
  prefersEvents,
  runAnswer,
} from "../views/RunAnswers.ts"

/** The values for fields that a request leaves out. */
export interface RunDefaults {
  readonly model: string
  readonly timeoutSecs: number
}

type Request = HttpServerRequest.HttpServerRequest

/** A run with a key and a run that is streamed go on: a client that lost the connection can ask for them again. */
const defaultOnDisconnect = (request: Request) =>
  request.headers["idempotency-key"] === undefined && !prefersEvents(request) ? "cancel" : "continue"

export const RunHandlers = (defaults: RunDefaults) =>
  HttpApiBuilder.group(Api, "run", (handlers) =>
    Effect.gen(function* () {
      const runs = yield* Runs
      const answers = yield* makeRunAnswers
      const streams = yield* OpenStreams
      const acceptOnce = yield* makeAcceptOnce
      return handlers
        .handle("run", ({ request: httpRequest, payload, urlParams, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
            const viewer = App({ tokenId: token.id })
            const request = {
              prompt: payload.prompt,
              model: payload.model ?? defaults.model,
              system: payload.system ?? undefined,
              systemMode: payload.system_mode ?? "append",
              effort: payload.effort ?? undefined,
              timeoutSecs: payload.timeout_secs ?? defaults.timeoutSecs,
              outputSchema: payload.output_schema ?? undefined,
              files: payload.files ?? [],
            }
            const onDisconnect = payload.on_disconnect ?? defaultOnDisconnect(httpRequest)
            if (prefersEvents(httpRequest)) yield* streams.admit(viewer)
            const { accepted, replayed } = yield* acceptOnce(
              { headers, owner: token.id, route: "POST /run", fields: payload, origin },
              (origin) => cancelOnDisconnect(onDisconnect, runs.open(request, token.id, origin)),
            )
            const options = optionsOf(urlParams)
            if (accepted === undefined) {
              return prefersEvents(httpRequest)
                ? answers.stream(httpRequest, viewer, replayed, options)
                : yield* answers.run(replayed, options)
            }
            if (prefersEvents(httpRequest)) {
              const run = { id: accepted.id, sessionId: null, turnIndex: null, requestId: origin.requestId }
              return answers.stream(httpRequest, viewer, run, options)
            }
            return runAnswer(yield* accepted.answer, options)
          }).pipe(orProblem),
        )
        .handle("cancelRun", ({ path: { id } }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const run = yield* runIdOf(id)
            const cancelled = yield* runs.cancel(run, App({ tokenId: token.id }))
            yield* note("run_id", run)
            return { ok: true as const, cancelled }
          }).pipe(orProblem),
        )
    }),
  )
