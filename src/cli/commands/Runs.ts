import { Args, Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { RunStatus } from "../../domain/Run.ts"
import { client } from "../Connection.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { Output } from "../Output.ts"
import { reportErrors } from "../ReportErrors.ts"
import * as Table from "../Table.ts"
import { json, limit, optionalText } from "./Options.ts"

const runId = Args.text({ name: "run" }).pipe(Args.withDescription("The run's id."))

const COLUMNS = {
  run_id: "id",
  kind: "id",
  status: "id",
  code: "id",
  model: "id",
  created_at: "time",
  duration_ms: "id",
  cost_usd: "id",
} as const

export const runs = Command.make(
  "runs",
  {
    json,
    limit,
    status: Options.choice("status", RunStatus.literals).pipe(
      Options.withDescription("Only runs in this state."),
      Options.optional,
    ),
    session: optionalText("session", "Only turns of this session."),
    cursor: optionalText("cursor", "Goes on after the list with this next_cursor."),
    run: Args.optional(runId),
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      if (Option.isSome(options.run)) {
        const run = yield* forge.runs.readRun({ path: { id: options.run.value } })
        return yield* options.json ? out.json(run) : out.line(Table.of([run], COLUMNS))
      }
      const listed = yield* forge.runs.listRuns({
        urlParams: definedOptions({
          limit: options.limit,
          status: options.status,
          session_id: options.session,
          cursor: options.cursor,
        }),
      })
      yield* options.json ? out.json(listed) : out.line(Table.of(listed.runs, COLUMNS))
    }).pipe(reportErrors(options.json)),
).pipe(
  Command.withDescription(
    "Lists runs and turns, the newest first, or shows one. With the operator's token those of all apps.",
  ),
)

export const cancel = Command.make("cancel", { json, run: runId }, ({ json, run }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).run.cancelRun({ path: { id: run } })
    yield* json ? out.json(done) : out.line(done.cancelled ? "cancelled" : "nothing was at work")
  }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Cancels a run or a turn."))
