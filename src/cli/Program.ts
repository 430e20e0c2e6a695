import { CliConfig, Command, ValidationError } from "@effect/cli"
import { Cause, Effect, Either, Exit, Option } from "effect"
import { checkArguments } from "./Arguments.ts"
import { clawdforge, vocabulary } from "./Cli.ts"
import { EXIT, Failed } from "./Exit.ts"
import { withFormattedHelp } from "./Help.ts"
import { Output } from "./Output.ts"

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
  Either.match(checkArguments(args, vocabulary), {
    onLeft: (reason) =>
      Effect.flatMap(Output, ({ notice }) =>
        Effect.zipRight(notice(`clawdforge: ${reason}`), new Failed({ exitCode: EXIT.usage })),
      ),
    onRight: (checked) =>
      Command.run(clawdforge, { name: "clawdforge", version })(["node", "clawdforge", ...checked]).pipe(
        Effect.provide(CliConfig.layer({ showBuiltIns: false, showAllNames: false })),
        withFormattedHelp(
          checked.slice(
            0,
            Math.max(
              0,
              checked.findIndex((word) => word.startsWith("-")),
            ),
          ),
        ),
        Effect.withTracerEnabled(false),
      ),
  })
