import { Args, Options } from "@effect/cli"

/** Options and arguments that several commands share. */

export const json = Options.boolean("json").pipe(Options.withDescription("Prints JSON, for programs."))

export const timeout = Options.integer("timeout").pipe(
  Options.withDescription("The most seconds that the answer may take, from 1 to 3600."),
  Options.optional,
)

export const promptFiles = Options.file("file", { exists: "yes" }).pipe(
  Options.withDescription("Uploads a file that the prompt is about. Can be repeated."),
  Options.repeated,
)

export const key = Options.text("key").pipe(
  Options.withDescription("An Idempotency-Key: a command that is repeated with the same key runs once only."),
  Options.optional,
)

export const sessionId = Args.text({ name: "session" }).pipe(Args.withDescription("The session's id."))
