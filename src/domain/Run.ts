import { Schema } from "effect"
import { expected } from "./Failure.ts"
import { StoredFile } from "./File.ts"
import { RunId, SessionId, TokenId } from "./Ids.ts"
import { Origin } from "./Origin.ts"
import type { Viewer } from "./Viewer.ts"

const utf8 = new TextEncoder()

/** Whether a text has at most `limit` bytes of UTF-8. Encodes it only if its length in characters does not decide. */
export const fitsUtf8 = (text: string, limit: number): boolean =>
  text.length * 3 <= limit || (text.length <= limit && utf8.encode(text).length <= limit)

export const PROMPT_MAX_BYTES = 10 * 1024 * 1024
export const SYSTEM_MAX_BYTES = 1024 * 1024
export const TIMEOUT_MAX_SECS = 3600

export const Prompt = Schema.String.pipe(
  // The CLI answers a blank prompt itself, without asking the model.
  Schema.filter((text) => /\S/.test(text) && fitsUtf8(text, PROMPT_MAX_BYTES)),
  Schema.annotations({
    message: expected("must be a text of 1 byte to 10 MiB, not blank"),
    jsonSchema: { minLength: 1 },
    description: "What the agent is asked, 1 byte to 10 MiB of UTF-8.",
    examples: ["Parse '2 cups of flour' into JSON with qty and unit."],
  }),
)

export const SystemPrompt = Schema.String.pipe(
  Schema.filter((text) => fitsUtf8(text, SYSTEM_MAX_BYTES)),
  Schema.annotations({
    message: expected("must be a text of at most 1 MiB"),
    jsonSchema: {},
    description: "A system prompt, at most 1 MiB of UTF-8.",
    examples: ["Answer with JSON only."],
  }),
)

export const Model = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][\w.:/@[\]-]{0,127}$/),
  Schema.annotations({
    message: expected("must be a model name: 1 to 128 characters, letters, digits and _ . : / @ [ ] -"),
    description: "A model's name or alias; by default the service's DEFAULT_MODEL.",
    examples: ["sonnet"],
  }),
)

export const SystemMode = Schema.Literal("append", "replace").annotations({
  message: expected("must be append or replace"),
  description: "append (default) adds `system` to the CLI's own system prompt; replace takes its place.",
})
export type SystemMode = typeof SystemMode.Type

export const Effort = Schema.Literal("low", "medium", "high", "xhigh", "max").annotations({
  message: expected("must be low, medium, high, xhigh or max"),
  description: "How hard the model thinks; by default the model's own.",
})
export type Effort = typeof Effort.Type

export const TimeoutSecs = Schema.Int.pipe(
  Schema.between(1, TIMEOUT_MAX_SECS),
  Schema.annotations({
    message: expected("must be a whole number of seconds from 1 to 3600"),
    description:
      "Seconds the run may take, queueing not counted; by default the service's DEFAULT_TIMEOUT_SECS.",
    examples: [120],
  }),
)

/** A JSON Schema that an answer must fit. */
export type OutputSchema = Readonly<Record<string, unknown>>

/** A one-shot prompt with every default filled in. */
export interface RunRequest {
  readonly prompt: string
  readonly model: string
  readonly system: string | undefined
  readonly systemMode: SystemMode
  readonly effort: Effort | undefined
  readonly timeoutSecs: number
  readonly outputSchema: OutputSchema | undefined
  /** The `ff_…` tokens of uploads that the model may read. */
  readonly files: ReadonlyArray<string>
}

/** Makes a request with the service's own defaults: model `sonnet`, two minutes. */
export const runRequest = (prompt: string, more: Partial<RunRequest> = {}): RunRequest => ({
  prompt,
  model: "sonnet",
  system: undefined,
  systemMode: "append",
  effort: undefined,
  timeoutSecs: 120,
  outputSchema: undefined,
  files: [],
  ...more,
})

/** The states of a run. */
export const RunStatus = Schema.Literal(
  "queued",
  "running",
  "completed",
  "failed",
  "cancelled",
  "timed_out",
  "lost",
)
export type RunStatus = typeof RunStatus.Type
export type EndStatus = Exclude<RunStatus, "queued" | "running">

interface RunState {
  readonly means: string
  /** Who moves a run on from here. */
  readonly movedBy: string
  /** The states that may come next. A state without any is final. */
  readonly next: ReadonlyArray<RunStatus>
}

const FINAL = { movedBy: "nobody: the state is final", next: [] } as const

/** What each state means, who moves a run on, and to where. Nothing else changes a state. */
export const RUN_STATES: Readonly<Record<RunStatus, RunState>> = {
  queued: {
    means: "Accepted and recorded. Waits for a slot.",
    movedBy:
      "RunEngine: when it has a slot, when it is cancelled, when it waited too long, when its token is revoked or the service stops; the ledger, at the start after a crash",
    next: ["running", "failed", "cancelled", "lost"],
  },
  running: {
    means: "Its executor works on it.",
    movedBy:
      "RunEngine: when its executor returns, when it is cancelled, at `timeout_secs`, when its token is revoked or the service stops; the ledger, at the start after a crash",
    next: ["completed", "failed", "cancelled", "timed_out", "lost"],
  },
  completed: { means: "It has an answer.", ...FINAL },
  failed: { means: "It has a failure, whose `code` says which.", ...FINAL },
  cancelled: { means: "It was ended before its answer: by its app, a revocation or a stop.", ...FINAL },
  timed_out: { means: "It was ended after `timeout_secs`.", ...FINAL },
  lost: { means: "The service died while it was queued or running.", ...FINAL },
}

const statuses = Object.keys(RUN_STATES) as Array<RunStatus>

/** The states from which a run may move to that one. */
export const statesBefore = (status: RunStatus): ReadonlyArray<RunStatus> =>
  statuses.filter((before) => RUN_STATES[before].next.includes(status))

/** The states in which a run is not over. */
export const UNFINISHED: ReadonlyArray<RunStatus> = statuses.filter(
  (status) => RUN_STATES[status].next.length > 0,
)

/** Tokens, as the provider counted them. */
export const Usage = Schema.Struct({
  input_tokens: Schema.Number,
  output_tokens: Schema.Number,
  cache_creation_input_tokens: Schema.Number,
  cache_read_input_tokens: Schema.Number,
}).annotations({
  description: "Tokens, as the provider counted them.",
  examples: [
    { input_tokens: 812, output_tokens: 9, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  ],
})
export type Usage = typeof Usage.Type

/** What a run is asked: the texts that must be kept for a run that is to survive a restart. */
export const RunInput = Schema.Struct({
  prompt: Schema.String,
  system: Schema.optional(Schema.String),
  /** The uploads that the agent may read. */
  files: Schema.Array(StoredFile),
})
export type RunInput = typeof RunInput.Type

const common = {
  id: RunId,
  /** The app that the run belongs to. */
  owner: TokenId,
  origin: Origin,
  input: RunInput,
  /** Seconds that the run may take, without the time in the queue. */
  timeoutSecs: Schema.Number,
}

/** A one-shot prompt. */
export const OneShotSpec = Schema.Struct({
  kind: Schema.Literal("run"),
  ...common,
  model: Schema.String,
  systemMode: SystemMode,
  effort: Schema.optional(Effort),
  outputSchema: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  /** Whether the CLI's own structured output can enforce the schema. */
  isSchemaNative: Schema.Boolean,
})
export type OneShotSpec = typeof OneShotSpec.Type

/** A turn of a session. Its model is the session's. */
export const TurnSpec = Schema.Struct({
  kind: Schema.Literal("turn"),
  ...common,
  sessionId: SessionId,
})
export type TurnSpec = typeof TurnSpec.Type

/**
 * A run as data: all that an executor needs, and nothing that lives only in this process. It can be stored, and be
 * carried to another machine.
 */
export const RunSpec = Schema.Union(OneShotSpec, TurnSpec)
export type RunSpec = typeof RunSpec.Type
export type RunKind = RunSpec["kind"]

/** A run as the ledger knows it: its state, its lengths and its cost, never its text. */
export const RunRecord = Schema.Struct({
  id: RunId,
  kind: Schema.Literal("run", "turn"),
  tokenId: TokenId,
  sessionId: Schema.NullOr(SessionId),
  turnIndex: Schema.NullOr(Schema.Number),
  status: RunStatus,
  /** `null`: the agent's own default. */
  model: Schema.NullOr(Schema.String),
  createdAt: Schema.Number,
  startedAt: Schema.NullOr(Schema.Number),
  finishedAt: Schema.NullOr(Schema.Number),
  durationMs: Schema.NullOr(Schema.Number),
  stopReason: Schema.NullOr(Schema.String),
  code: Schema.NullOr(Schema.String),
  usage: Schema.NullOr(Usage),
  costUsd: Schema.NullOr(Schema.Number),
  promptChars: Schema.Number,
  responseChars: Schema.NullOr(Schema.Number),
  /** The request that it was accepted for. */
  requestId: Schema.String,
})
export type RunRecord = typeof RunRecord.Type

/** Which runs a viewer wants: all that it may see and that match each field. */
export interface RunFilter {
  readonly viewer: Viewer
  readonly status?: RunStatus | undefined
  readonly sessionId?: SessionId | undefined
}

/** What the ledger learns when a run ends: lengths and cost, no text of the prompt or the answer. */
export interface RunEnded {
  readonly status: EndStatus
  /** `null` after success, else the stable `code` that the client was answered. */
  readonly code: string | null
  readonly stopReason: string | null
  readonly durationMs: number | null
  readonly responseChars: number | null
  readonly usage: Usage | null
  /** `null`: not known. A cost that was recorded before the end stays then. */
  readonly costUsd: number | null
  /** Of a turn: the model that answered, which is recorded in place of the one that was asked for. */
  readonly model?: string | null
  /** Of a turn: what its session cost so far, as its agent last said. */
  readonly agentCostUsd?: number | null
}
