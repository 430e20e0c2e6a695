import { Effect, Schema } from "effect"
import { RunNotFound } from "../domain/Failure.ts"
import { RunId, SessionId } from "../domain/Ids.ts"
import type { RunRecord } from "../domain/Run.ts"
import type { Viewer } from "../domain/Viewer.ts"
import { Runs } from "../services/runs/Runs.ts"
import { note } from "./RequestContext.ts"

/** Returns the run id in a path. Text that no run id can be is `RunNotFound`, like an unknown id. */
export const runIdOf = (id: string): Effect.Effect<RunId, RunNotFound> =>
  Schema.is(RunId)(id) ? Effect.succeed(id) : new RunNotFound()

/** Adds the run to the request's log line. */
const noteRun = (run: RunRecord) => note("run_id", run.id)

/** Makes the lookups of runs by the parameters of a path. They fail for a run that the viewer may not see. */
export const makeRunLookup = Effect.map(Runs, (runs) => ({
  /** Returns the run of `/runs/{id}`. */
  run: (id: string, viewer: Viewer) =>
    runIdOf(id).pipe(
      Effect.flatMap((id) => runs.get(id, viewer)),
      Effect.tap(noteRun),
    ),

  /** Returns the run of `/sessions/{session}/turns/{n}`. */
  turn: (session: string, n: string, viewer: Viewer) =>
    Effect.gen(function* () {
      if (!Schema.is(SessionId)(session) || !/^[1-9]\d{0,14}$/.test(n)) return yield* new RunNotFound()
      return yield* runs.getTurn(session, Number(n), viewer)
    }).pipe(Effect.tap(noteRun)),
}))
