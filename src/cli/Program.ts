import { CliConfig, Command, ValidationError } from "@effect/cli"
import { Cause, Effect, Exit, Option } from "effect"
import { clawdforge } from "./Cli.ts"
import { EXIT, Failed } from "./Exit.ts"

/** The exit code for the program's exit. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.isInterruptedOnly(exit.cause)) return EXIT.interrupted
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure instanceof Failed) return failure.exitCode
  return ValidationError.isValidationError(failure) ? EXIT.usage : EXIT.defect
}

/**
 * Runs the command line with the arguments after `clawdforge`. Its expected failures are printed already when it fails;
 * {@link exitCodeOf} gives the exit code.
 */
export const program = (args: ReadonlyArray<string>, version: string) =>
  Command.run(clawdforge, { name: "clawdforge", version })(["node", "clawdforge", ...args]).pipe(
    Effect.provide(CliConfig.layer({ showBuiltIns: false })),
    Effect.withTracerEnabled(false),
  )
