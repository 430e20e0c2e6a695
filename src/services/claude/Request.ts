import type { Effort, OutputSchema, RunRequest, SystemMode } from "../../domain/Run.ts"

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
export const claudeRequest = (request: RunRequest, native: boolean): ClaudeRequest => {
  const { outputSchema: schema, system, ...rest } = request
  if (schema === undefined) return { ...rest, system, outputSchema: undefined }
  if (native) return { ...rest, system, outputSchema: schema }
  const instruction = `Answer with JSON only: one value that fits this JSON Schema.\n${JSON.stringify(schema)}`
  return {
    ...rest,
    system: system === undefined ? instruction : `${system}\n\n${instruction}`,
    outputSchema: undefined,
  }
}
