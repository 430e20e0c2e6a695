import { CliConfig, Command, ValidationError } from "@effect/cli"
import { Cause, Effect, Exit, Option } from "effect"
import { clawdforge } from "./Cli.ts"
import { EXIT, Failed } from "./Exit.ts"

/** What a shell is told. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.isInterruptedOnly(exit.cause)) return EXIT.interrupted
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure instanceof Failed) return failure.exitCode
  return ValidationError.isValidationError(failure) ? EXIT.usage : EXIT.defect
}

/** Does what the words after `clawdforge` say. Whatever it fails with has been said; {@link exitCodeOf} tells the rest. */
export const program = (words: ReadonlyArray<string>, version: string) =>
  Command.run(clawdforge, { name: "clawdforge", version })(["node", "clawdforge", ...words]).pipe(
    Effect.provide(CliConfig.layer({ showBuiltIns: false })),
    Effect.withTracerEnabled(false),
  )
