import { type AttachedFile, withAttachments } from "../../../domain/File.ts"
import type { Effort, OneShotSpec, OutputSchema, SystemMode } from "../../../domain/Run.ts"

/** What a prompt asks of the CLI. All of it travels by stdin, nothing in `argv`. */
export interface ClaudeRequest {
  readonly prompt: string
  readonly model: string
  readonly system: string | undefined
  readonly systemMode: SystemMode
  readonly effort: Effort | undefined
  /** A schema that the CLI's own structured output takes; see `OutputSchemas.check`. */
  readonly outputSchema: OutputSchema | undefined
}

/**
 * What a run asks of the CLI. A schema that the CLI's structured output cannot enforce is asked for in words; the
 * service validates the answer in any case.
 */
export const claudeRequest = (spec: OneShotSpec, files: ReadonlyArray<AttachedFile>): ClaudeRequest => {
  const { model, systemMode, effort, outputSchema: schema } = spec
  const { prompt, system } = spec.input
  const asked = { prompt: withAttachments(prompt, files), model, systemMode, effort }
  if (schema === undefined || spec.isSchemaNative) return { ...asked, system, outputSchema: schema }
  const instruction = `Answer with JSON only: one value that fits this JSON Schema.\n${JSON.stringify(schema)}`
  return {
    ...asked,
    system: system === undefined ? instruction : `${system}\n\n${instruction}`,
    outputSchema: undefined,
  }
}
