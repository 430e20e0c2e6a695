import { Args } from "@effect/cli"
import { Effect } from "effect"
import { readStdin } from "./Texts.ts"

/** The argument for a prompt: its text, or `-`. */
export const promptArg = Args.text({ name: "prompt" }).pipe(
  Args.withDescription("The prompt; - reads it from standard input."),
)

/** The prompt's text. Reads standard input if the argument is `-`. */
export const promptOf = (argument: string) => (argument === "-" ? readStdin : Effect.succeed(argument))
