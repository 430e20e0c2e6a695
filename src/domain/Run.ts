import { Schema } from "effect"
import { expected } from "./Failure.ts"
import type { RunId, SessionId, TokenId } from "./Ids.ts"
import type { Origin } from "./Token.ts"

const utf8 = new TextEncoder()

/** At most `limit` bytes of UTF-8; counts only when the length in characters leaves it open. */
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

/** A prompt with the service's own defaults: model `sonnet`, two minutes. */
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

/**
 * queued → running → completed | failed | cancelled | timed_out | lost; a queued run may also end without
 * ever running. An ended run never changes again.
 */
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

/** Tokens the provider counted. */
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

/** A run as the ledger knows it. */
export interface RunRecord {
  readonly id: RunId
  readonly kind: "run" | "turn"
  readonly tokenId: TokenId
  readonly sessionId: SessionId | null
  readonly turnIndex: number | null
  readonly status: RunStatus
  /** None: left to the agent. */
  readonly model: string | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly durationMs: number | null
  readonly stopReason: string | null
  readonly code: string | null
  readonly usage: Usage | null
  readonly costUsd: number | null
  readonly promptChars: number
  readonly responseChars: number | null
  /** The request that it was accepted for. */
  readonly requestId: string
}

/** A request that its app may send again, and what it is answered then. */
export interface Claim {
  readonly route: string
  readonly key: string
  /** A hash of what was asked. */
  readonly fingerprint: string
}

/** How long it may: then the key is as good as new. */
export const CLAIM_MILLIS = 24 * 60 * 60 * 1000

/** What the ledger learns when a run is accepted. */
export interface RunOpened {
  readonly id: RunId
  readonly tokenId: TokenId
  readonly model: string
  readonly promptChars: number
  readonly origin: Origin
  readonly at: number
  /** Kept with the run, or not at all. */
  readonly claim?: Claim | undefined
}

/** What the ledger learns when a run ends: no text of the prompt or the answer, only their lengths. */
export interface RunEnded {
  readonly status: EndStatus
  /** `null` after success, else the stable `code` that the client was answered. */
  readonly code: string | null
  readonly stopReason: string | null
  readonly durationMs: number | null
  readonly responseChars: number | null
  readonly usage: Usage | null
  readonly costUsd: number | null
}
