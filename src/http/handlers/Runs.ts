import { HttpApiBuilder } from "@effect/platform"
import { Effect, Option } from "effect"
import type { RunRecord } from "../../domain/Run.ts"
import { Runs } from "../../services/runs/Runs.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { cursorAfter, runBefore } from "../groups/Runs.ts"
import { LIST_LIMIT, toSeconds, toSecondsOrNull } from "../groups/Wire.ts"
import { orProblem } from "../RequestContext.ts"
import { makeRunLookup } from "../RunLookup.ts"

export const RunsHandlers = HttpApiBuilder.group(Api, "runs", (handlers) =>
  Effect.gen(function* () {
    const runs = yield* Runs
    const lookup = yield* makeRunLookup
    return handlers
      .handle(
        "listRuns",
        ({ urlParams: { limit = LIST_LIMIT, cursor = "", status, session_id: sessionId } }) =>
          Effect.gen(function* () {
            const { viewer } = yield* CurrentReader
            const before = Option.getOrUndefined(runBefore(cursor))
            const found = yield* runs.page({ viewer, status, sessionId }, limit + 1, before)
            const page = found.slice(0, limit)
            const last = page.at(-1)
            return {
              ok: true as const,
              runs: page.map(runAnswer),
              next_cursor: last !== undefined && found.length > limit ? cursorAfter(last.id) : null,
            }
          }).pipe(orProblem),
      )
      .handle("readRun", ({ path: { id } }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          return { ok: true as const, ...runAnswer(yield* lookup.run(id, viewer)) }
        }).pipe(orProblem),
      )
  }),
)

/** A run as clients see it. */
const runAnswer = (run: RunRecord) => ({
  run_id: run.id,
  kind: run.kind,
  status: run.status,
  session_id: run.sessionId,
  turn_index: run.turnIndex,
  model: run.model,
  created_at: toSeconds(run.createdAt),
  started_at: toSecondsOrNull(run.startedAt),
  finished_at: toSecondsOrNull(run.finishedAt),
  duration_ms: run.durationMs,
  stop_reason: run.stopReason,
  code: run.code,
  usage: run.usage,
  cost_usd: run.costUsd,
  prompt_chars: run.promptChars,
  response_chars: run.responseChars,
})
