import { type AttachedFile, withAttachments } from "../../../domain/File.ts"
import type { Effort, OneShotSpec, OutputSchema, SystemMode } from "../../../domain/Run.ts"

/** A request to the CLI. All of it goes over stdin; nothing of it is in `argv`, which other processes can read. */
export interface ClaudeRequest {
  readonly prompt: string
  readonly model: string
  readonly system: string | undefined
  readonly systemMode: SystemMode
  readonly effort: Effort | undefined
  /** A schema that the CLI's own structured output can enforce; see `OutputSchemas.check`. */
  readonly outputSchema: OutputSchema | undefined
}

/**
 * Makes the CLI's request for a run. When the CLI's structured output cannot enforce the schema (`isSchemaNative` is
 * false), the schema goes into the system prompt. The service validates the answer in both cases.
 */
export const claudeRequest = (spec: OneShotSpec, files: ReadonlyArray<AttachedFile>): ClaudeRequest => {
  const { model, systemMode, effort, outputSchema: schema } = spec
  const { prompt, system } = spec.input
  const common = { prompt: withAttachments(prompt, files), model, systemMode, effort }
  if (schema === undefined || spec.isSchemaNative) return { ...common, system, outputSchema: schema }
  const instruction = `Answer with JSON only: one value that fits this JSON Schema.\n${JSON.stringify(schema)}`
  return {
    ...common,
    system: system === undefined ? instruction : `${system}\n\n${instruction}`,
    outputSchema: undefined,
  }
}
