import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Either, Encoding, Option, Schema } from "effect"
import { expected } from "../../domain/Failure.ts"
import { RunId } from "../../domain/Ids.ts"
import { RunStatus, Usage } from "../../domain/Run.ts"
import { ReaderAuth } from "./Auth.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import { ListLimit, optionalParam, query, RUN_ID, RunPath, SessionFilter, UnixSeconds } from "./Wire.ts"

/** The `next_cursor` of a list whose last run is this one. */
export const cursorAfter = (run: RunId): string => Encoding.encodeBase64Url(run)

/** The run after which a cursor's next page starts; none if the text is not a cursor. */
export const runBefore = (cursor: string): Option.Option<RunId> =>
  Encoding.decodeBase64UrlString(cursor).pipe(Either.getRight, Option.filter(Schema.is(RunId)))

const ListQuery = query({
  limit: optionalParam(ListLimit),
  cursor: optionalParam(
    Schema.String.pipe(
      Schema.filter((text) => Option.isSome(runBefore(text))),
      Schema.annotations({
        message: expected("must be the next_cursor of a list"),
        jsonSchema: {},
        description: "The `next_cursor` of the list before, to go on after it.",
      }),
    ),
  ),
  status: optionalParam(
    RunStatus.annotations({
      message: expected(`must be one of ${RunStatus.literals.join(", ")}`),
      description: "Runs in that state only.",
    }),
  ),
  session_id: optionalParam(SessionFilter),
})

const run = {
  run_id: Schema.String.annotations({ description: "A ULID.", examples: [RUN_ID] }),
  kind: Schema.Literal("run", "turn"),
  status: RunStatus,
  session_id: Schema.NullOr(Schema.String),
  turn_index: Schema.NullOr(Schema.Int),
  model: Schema.NullOr(Schema.String).annotations({
    description: "Of a turn: the one that answered, if the agent said so. None: left to the agent.",
  }),
  created_at: UnixSeconds,
  started_at: Schema.NullOr(UnixSeconds),
  finished_at: Schema.NullOr(UnixSeconds),
  duration_ms: Schema.NullOr(Schema.Int).annotations({
    description: "From start to end, without the queue.",
  }),
  stop_reason: Schema.NullOr(Schema.String),
  code: Schema.NullOr(Schema.String).annotations({
    description: "Of a run that failed: the problem's code.",
  }),
  usage: Schema.NullOr(Usage),
  cost_usd: Schema.NullOr(Schema.Number),
  prompt_chars: Schema.Int,
  response_chars: Schema.NullOr(Schema.Int),
}

const RUN = {
  run_id: RUN_ID,
  kind: "run",
  status: "completed",
  session_id: null,
  turn_index: null,
  model: "sonnet",
  created_at: 1_790_000_000,
  started_at: 1_790_000_000,
  finished_at: 1_790_000_004,
  duration_ms: 4321,
  stop_reason: "end_turn",
  code: null,
  usage: { input_tokens: 812, output_tokens: 9, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  cost_usd: 0.0021,
  prompt_chars: 57,
  response_chars: 24,
} as const

const RunState = Schema.Struct({ ok: Schema.Literal(true), ...run }).annotations({
  identifier: "RunState",
  examples: [{ ok: true, ...RUN }],
})

const RunList = Schema.Struct({
  ok: Schema.Literal(true),
  runs: Schema.Array(Schema.Struct(run)),
  next_cursor: Schema.NullOr(Schema.String).annotations({ description: "None: there are no more." }),
}).annotations({
  identifier: "RunList",
  examples: [{ ok: true, runs: [RUN], next_cursor: cursorAfter(RunId.make(RUN_ID)) }],
})

export class RunsGroup extends HttpApiGroup.make("runs")
  .add(
    HttpApiEndpoint.get("listRuns", "/runs")
      .setUrlParams(ListQuery)
      .addSuccess(RunList)
      .addError(problems("StorageFailed"))
      .annotate(OpenApi.Summary, "List runs and turns, the newest first"),
  )
  .add(
    HttpApiEndpoint.get("readRun", "/runs/:id")
      .setPath(RunPath)
      .addSuccess(RunState)
      .addError(problems("RunNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Read a run's state"),
  )
  .middleware(KnownQuery)
  .middleware(ReaderAuth)
  .annotate(
    OpenApi.Description,
    "What was asked, what it cost, how it ended; never the text. An app sees its own runs, the operator everybody's.",
  ) {}
