import { HttpApiBuilder, type HttpServerRequest } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { RunNotFound } from "../../domain/Failure.ts"
import { RunId } from "../../domain/Ids.ts"
import { Ledger } from "../../services/Ledger.ts"
import { LiveRuns } from "../../services/LiveRuns.ts"
import { Runs } from "../../services/Runs.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { makeBeginOnce } from "../Idempotency.ts"
import { note, orProblem } from "../RequestContext.ts"
import { makeRunAnswers, prefersEvents, runAnswer, unlessGone } from "../RunAnswers.ts"

/** What a prompt that does not say gets. */
export interface RunDefaults {
  readonly model: string
  readonly timeoutSecs: number
}

type Request = HttpServerRequest.HttpServerRequest

/** What streams or has a key is asked for again, by whoever has lost the answer. */
const whenSilent = (request: Request) =>
  prefersEvents(request) || request.headers["idempotency-key"] !== undefined ? "continue" : "cancel"

export const RunHandlers = (defaults: RunDefaults) =>
  HttpApiBuilder.group(Api, "run", (handlers) =>
    Effect.gen(function* () {
      const runs = yield* Runs
      const live = yield* LiveRuns
      const ledger = yield* Ledger
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
            const found = Schema.is(RunId)(id) ? yield* ledger.runs.find(id) : Option.none()
            const run = yield* Option.filter(found, ({ tokenId }) => tokenId === token.id).pipe(
              Effect.mapError(() => new RunNotFound()),
            )
            yield* note("run_id", run.id)
            return { ok: true as const, cancelled: yield* live.cancel(run.id) }
          }).pipe(orProblem),
        )
    }),
  )
