import { HttpApiBuilder } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { RunNotFound } from "../../domain/Failure.ts"
import { RunId } from "../../domain/Ids.ts"
import type { RunRecord } from "../../domain/Run.ts"
import { Ledger } from "../../services/Ledger.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { cursorAfter, runBefore } from "../groups/Runs.ts"
import { LIST_LIMIT, toSeconds, toSecondsOrNull } from "../groups/Wire.ts"
import { note, orProblem } from "../RequestContext.ts"

export const RunsHandlers = HttpApiBuilder.group(Api, "runs", (handlers) =>
  Effect.gen(function* () {
    const { runs } = yield* Ledger
    return handlers
      .handle(
        "listRuns",
        ({ urlParams: { limit = LIST_LIMIT, cursor = "", status, session_id: sessionId } }) =>
          Effect.gen(function* () {
            const { owner } = yield* CurrentReader
            const before = Option.getOrUndefined(runBefore(cursor))
            const found = yield* runs.page({ owner, status, sessionId }, limit + 1, before)
            const page = found.slice(0, limit)
            const last = page.at(-1)
            return {
              ok: true as const,
              runs: page.map(stateOf),
              next_cursor: last !== undefined && found.length > limit ? cursorAfter(last.id) : null,
            }
          }).pipe(orProblem),
      )
      .handle("readRun", ({ path: { id } }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          // What no run could be called is no run's name.
          const found = Schema.is(RunId)(id) ? yield* runs.find(id) : Option.none()
          const run = yield* Option.filter(found, (run) => owner === undefined || run.tokenId === owner).pipe(
            Effect.mapError(() => new RunNotFound()),
          )
          yield* note("run_id", run.id)
          return { ok: true as const, ...stateOf(run) }
        }).pipe(orProblem),
      )
  }),
)

const stateOf = (run: RunRecord) => ({
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
