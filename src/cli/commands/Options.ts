import { Args, Options } from "@effect/cli"

/** Options and arguments that several commands share. */

/** An optional option with any text as its value. */
export const optionalText = (name: string, description: string) =>
  Options.text(name).pipe(Options.withDescription(description), Options.optional)

export const json = Options.boolean("json").pipe(Options.withDescription("Prints JSON, for programs."))

export const usage = Options.boolean("usage").pipe(
  Options.withDescription("With --json: adds tokens, cost and model."),
)

export const timeout = Options.integer("timeout").pipe(
  Options.withDescription("The most seconds that the answer may take, from 1 to 3600."),
  Options.optional,
)

export const promptFiles = Options.file("file", { exists: "yes" }).pipe(
  Options.withDescription("Uploads a file that the prompt is about. Can be repeated."),
  Options.repeated,
)

export const key = optionalText(
  "key",
  "An Idempotency-Key: a command that is repeated with the same key runs once only.",
)

export const sessionId = Args.text({ name: "session" }).pipe(Args.withDescription("The session's id."))
