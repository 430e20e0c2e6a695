import { type AttachedFile, withAttachments } from "../../../domain/File.ts"
import type { Effort, OutputSchema, RunRequest, SystemMode } from "../../../domain/Run.ts"

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
 * Makes the CLI's request for a run. When the CLI's structured output cannot enforce the schema (`native` is false), the
 * schema goes into the system prompt. The service validates the answer in both cases.
 */
export const claudeRequest = (
  request: RunRequest,
  options: { readonly native: boolean; readonly files: ReadonlyArray<AttachedFile> },
): ClaudeRequest => {
  const { model, systemMode, effort, system, outputSchema: schema } = request
  const common = { prompt: withAttachments(request.prompt, options.files), model, systemMode, effort }
  if (schema === undefined || options.native) return { ...common, system, outputSchema: schema }
  const instruction = `Answer with JSON only: one value that fits this JSON Schema.\n${JSON.stringify(schema)}`
  return {
    ...common,
    system: system === undefined ? instruction : `${system}\n\n${instruction}`,
    outputSchema: undefined,
  }
}
