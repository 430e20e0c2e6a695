import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Runs } from "../../services/Runs.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { note, orProblem, setHeaders } from "../RequestContext.ts"

/** What a prompt that does not say gets. */
export interface RunDefaults {
  readonly model: string
  readonly timeoutSecs: number
}

export const RunHandlers = (defaults: RunDefaults) =>
  HttpApiBuilder.group(Api, "run", (handlers) =>
    Effect.gen(function* () {
      const runs = yield* Runs
      return handlers.handle("run", ({ payload, urlParams }) =>
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
          const run = yield* runs.open(request, token.id, origin)
          yield* note("run_id", run.id)
          yield* setHeaders({ "x-run-id": run.id })
          const done = yield* Effect.onInterrupt(run.answer, () => run.cancel)
          const usage = {
            usage: done.usage,
            cost_usd: done.costUsd,
            model: done.model,
            session_id: done.sessionId,
          }
          return {
            ok: true as const,
            result: done.result,
            duration_ms: done.durationMs,
            stop_reason: done.stopReason,
            ...(urlParams.include === "usage" ? usage : {}),
          }
        }).pipe(orProblem),
      )
    }),
  )
