import { Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { resultOf } from "../../domain/Answer.ts"
import { Effort, SystemMode } from "../../domain/Run.ts"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { Output } from "../Output.ts"
import { promptArg, promptOf } from "../Prompt.ts"
import { failIfCancelled, printStream } from "../Streaming.ts"
import { readTextFile } from "../Texts.ts"
import { uploadFiles } from "../Upload.ts"
import {
  fileTokens,
  goesOn,
  json,
  key,
  onDisconnect,
  optionalText,
  promptFiles,
  timeout,
  usage,
} from "./Options.ts"

const runOptions = {
  json,
  model: optionalText("model", "The model to use."),
  system: optionalText("system", "A system prompt."),
  systemMode: Options.choice("system-mode", SystemMode.literals).pipe(
    Options.withDescription("Whether --system is appended to the CLI's own system prompt or replaces it."),
    Options.optional,
  ),
  effort: Options.choice("effort", Effort.literals).pipe(
    Options.withDescription("How much effort the model spends on thinking."),
    Options.optional,
  ),
  timeout,
  schema: Options.file("schema", { exists: "yes" }).pipe(
    Options.withDescription("A file with the JSON Schema that the answer must fit."),
    Options.optional,
  ),
  usage,
  file: promptFiles,
  fileToken: fileTokens,
  key,
  onDisconnect,
  prompt: promptArg,
}

/**
 * Runs one prompt. Prints the answer piece by piece on a terminal, in full in a pipe; with --json the whole answer object;
 * with --schema the value.
 */
export const run = Command.make("run", runOptions, (options) =>
  Effect.gen(function* () {
    const out = yield* Output
    const forge = yield* client
    const prompt = yield* promptOf(options.prompt)
    const outputSchema = yield* Effect.transposeOption(
      Option.map(options.schema, (path) =>
        Effect.flatMap(readTextFile(path), (text) =>
          Effect.try({
            try: () => JSON.parse(text) as Record<string, unknown>,
            catch: () => new Error(`${path} is not valid JSON`),
          }),
        ),
      ),
    )
    const uploaded = yield* uploadFiles(forge, options)
    const payload = {
      prompt,
      files: [...options.fileToken, ...uploaded],
      ...definedOptions({
        model: options.model,
        system: options.system,
        system_mode: options.systemMode,
        effort: options.effort,
        timeout_secs: options.timeout,
        output_schema: outputSchema,
        on_disconnect: options.onDisconnect,
      }),
    }
    // A pipe gets the answer's value only, without the text that the model writes before it.
    const isLive = !options.json && Option.isNone(options.schema) && out.isRead
    const { answer, text } = yield* printStream(
      forge.streams.run(payload, {
        ...definedOptions({ idempotencyKey: options.key }),
        usage: options.usage,
      }),
      {
        isLive,
        cancel: (id) => (goesOn(options) ? Effect.void : forge.run.cancelRun({ path: { id } })),
      },
    )
    if (options.json) yield* out.json(answer)
    // What is shown may lack a part that was no longer stored.
    else if (!isLive || JSON.stringify(resultOf(text)) !== JSON.stringify(answer.result)) {
      yield* typeof answer.result === "string" ? out.line(answer.result) : out.json(answer.result)
    }
    yield* failIfCancelled(answer)
  }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Runs one prompt, and prints the answer while it is written."))
