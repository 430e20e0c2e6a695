import { Command, Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { Effort, SystemMode } from "../../domain/Run.ts"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { Output } from "../Output.ts"
import { promptArg, promptOf } from "../Prompt.ts"
import * as Speech from "../Speech.ts"
import { show, unlessCancelled } from "../Streaming.ts"
import { attach } from "../Upload.ts"
import { attached, json, key, timeout } from "./Options.ts"

const options = {
  json,
  model: Options.text("model").pipe(Options.withDescription("Which model."), Options.optional),
  system: Options.text("system").pipe(
    Options.withDescription("What the model is told of its task."),
    Options.optional,
  ),
  systemMode: Options.choice("system-mode", SystemMode.literals).pipe(
    Options.withDescription("Whether --system comes after the CLI's own words or in their place."),
    Options.optional,
  ),
  effort: Options.choice("effort", Effort.literals).pipe(
    Options.withDescription("How hard the model thinks."),
    Options.optional,
  ),
  timeout,
  schema: Options.fileText("schema").pipe(
    Options.withDescription("A file with the JSON Schema that the answer must fit."),
    Options.optional,
  ),
  usage: Options.boolean("usage").pipe(Options.withDescription("With --json: also tokens, cost and model.")),
  file: attached,
  key,
  prompt: promptArg,
}

/** Asks once: shows the answer as it comes; with --json the whole of it at its end; with --schema its value. */
export const run = Command.make("run", options, (asked) =>
  Effect.gen(function* () {
    const out = yield* Output
    const forge = yield* client
    const prompt = yield* promptOf(asked.prompt)
    const outputSchema = yield* Effect.transposeOption(
      Option.map(asked.schema, ([path, text]) =>
        Effect.try({
          try: () => JSON.parse(text) as Record<string, unknown>,
          catch: () => new Error(`${path} is no JSON`),
        }),
      ),
    )
    const files = yield* attach(forge, asked)
    const payload = {
      prompt,
      files,
      ...definedOptions({
        model: asked.model,
        system: asked.system,
        system_mode: asked.systemMode,
        effort: asked.effort,
        timeout_secs: asked.timeout,
        output_schema: outputSchema,
      }),
    }
    // In a pipe the answer is a value, without what the model says on the way to it.
    const isSilent = asked.json || Option.isSome(asked.schema) || !out.isRead
    const { answer, isShown } = yield* show(
      forge.streams.run(payload, { ...definedOptions({ idempotencyKey: asked.key }), usage: asked.usage }),
      isSilent ? () => "" : Speech.ofClaude,
      // Under a key somebody may ask for the answer again.
      (id) => (Option.isSome(asked.key) ? Effect.void : forge.run.cancelRun({ path: { id } })),
    )
    if (asked.json) yield* out.json(answer)
    else if (!isShown) {
      yield* typeof answer.result === "string" ? out.line(answer.result) : out.json(answer.result)
    }
    yield* unlessCancelled(answer)
  }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Asks once, and shows the answer as it comes."))
