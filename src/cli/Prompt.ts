import { Args } from "@effect/cli"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"

/** What to ask, as an argument, or `-`. */
export const promptArg = Args.text({ name: "prompt" }).pipe(
  Args.withDescription("What to ask; - reads it from standard input."),
)

/** The prompt itself. */
export const promptOf = (argument: string) =>
  argument === "-" ? Stream.mkString(Stream.decodeText(NodeStream.stdin)) : Effect.succeed(argument)
