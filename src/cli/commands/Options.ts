import { Args, Options } from "@effect/cli"
import { Option } from "effect"
import { OnDisconnect } from "../../http/groups/Wire.ts"

/** Options and arguments that several commands share. */

/** An optional option with any text as its value. */
export const optionalText = (name: string, description: string) =>
  Options.text(name).pipe(Options.withDescription(description), Options.optional)

export const json = Options.boolean("json").pipe(Options.withDescription("Prints JSON, for programs."))

export const limit = Options.integer("limit").pipe(
  Options.withDescription("How many at most."),
  Options.optional,
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

export const usage = Options.boolean("usage").pipe(
  Options.withDescription("With --json: adds tokens, cost and model."),
)

export const fileTokens = Options.text("file-token").pipe(
  Options.withDescription("The token of a file that was uploaded before. Can be repeated."),
  Options.repeated,
)

export const onDisconnect = Options.choice("on-disconnect", OnDisconnect.literals).pipe(
  Options.withDescription(
    "What becomes of the work when this command ends before it; by default it is cancelled.",
  ),
  Options.optional,
)

/** Whether work goes on when its command is interrupted. With a key, a later command may ask for the answer. */
export const goesOn = (options: {
  readonly key: Option.Option<string>
  readonly onDisconnect: Option.Option<typeof OnDisconnect.Type>
}): boolean =>
  Option.match(options.onDisconnect, {
    onNone: () => Option.isSome(options.key),
    onSome: (what) => what === "continue",
  })
