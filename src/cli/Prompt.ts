import { Args } from "@effect/cli"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"

/** The argument for a prompt: its text, or `-`. */
export const promptArg = Args.text({ name: "prompt" }).pipe(
  Args.withDescription("The prompt; - reads it from standard input."),
)

/** The prompt's text. Reads standard input if the argument is `-`. */
export const promptOf = (argument: string) =>
  argument === "-" ? Stream.mkString(Stream.decodeText(NodeStream.stdin)) : Effect.succeed(argument)
