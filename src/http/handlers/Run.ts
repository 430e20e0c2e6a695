import { HttpApiBuilder, type HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"
import { LiveRuns } from "../../services/runs/RunEngine.ts"
import { Runs } from "../../services/runs/Runs.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { makeBeginOnce } from "../Idempotency.ts"
import { orProblem } from "../RequestContext.ts"
import { makeRunAnswers, prefersEvents, runAnswer, unlessGone } from "../views/RunAnswers.ts"
import { makeSeenRuns } from "../SeenRuns.ts"

/** What a prompt that does not say gets. */
export interface RunDefaults {
  readonly model: string
  readonly timeoutSecs: number
}

type Request = HttpServerRequest.HttpServerRequest

/** What has a key, or is a stream, is asked for again by whoever has lost it. */
const whenSilent = (request: Request) =>
  request.headers["idempotency-key"] === undefined && !prefersEvents(request) ? "cancel" : "continue"

export const RunHandlers = (defaults: RunDefaults) =>
  HttpApiBuilder.group(Api, "run", (handlers) =>
    Effect.gen(function* () {
      const runs = yield* Runs
      const live = yield* LiveRuns
      const seen = yield* makeSeenRuns
      const answers = yield* makeRunAnswers
      const beginOnce = yield* makeBeginOnce
      return handlers
        .handle("run", ({ request: asked, payload, urlParams, headers }) =>
          Effect.gen(function* () {
            const { token, origin } = yield* CurrentApp
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
            const silent = payload.on_disconnect ?? whenSilent(asked)
            const { begun, again } = yield* beginOnce(
              { headers, owner: token.id, route: "POST /run", asked: payload },
              (claim) => unlessGone(silent, runs.open(request, token.id, origin, claim)),
            )
            const wanted = { usage: urlParams.include === "usage" }
            if (begun === undefined) {
              return prefersEvents(asked)
                ? answers.stream(asked, token.id, again, wanted)
                : yield* answers.runAgain(again, wanted)
            }
            if (prefersEvents(asked)) {
              const accepted = { id: begun.id, sessionId: null, turnIndex: null, requestId: origin.requestId }
              return answers.stream(asked, token.id, accepted, wanted)
            }
            return runAnswer(yield* begun.answer, wanted)
          }).pipe(orProblem),
        )
        .handle("cancelRun", ({ path: { id } }) =>
          Effect.gen(function* () {
            const { token } = yield* CurrentApp
            const run = yield* seen.run(id, token.id)
            return { ok: true as const, cancelled: yield* live.cancel(run.id) }
          }).pipe(orProblem),
        )
    }),
  )
