import { Args, Options } from "@effect/cli"

/** Options that several commands have. */

export const json = Options.boolean("json").pipe(Options.withDescription("Answers in JSON, for programs."))

export const timeout = Options.integer("timeout").pipe(
  Options.withDescription("How many seconds it may take, from 1 to 3600."),
  Options.optional,
)

export const attached = Options.file("file", { exists: "yes" }).pipe(
  Options.withDescription("A file to ask about; may be given again."),
  Options.repeated,
)

export const key = Options.text("key").pipe(
  Options.withDescription("An Idempotency-Key: asked again under the same, it runs once."),
  Options.optional,
)

export const sessionId = Args.text({ name: "session" }).pipe(Args.withDescription("The session's id."))
