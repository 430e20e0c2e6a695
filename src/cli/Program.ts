import { CliConfig, Command, ValidationError } from "@effect/cli"
import { Cause, Effect, Exit, Option } from "effect"
import { clawdforge } from "./Cli.ts"
import { EXIT, Failed } from "./Failed.ts"

/** A bug of ours, as sysexits.h has it. */
export const DEFECT = 70

/** What a shell is told. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  // What a shell makes of an interrupt itself.
  if (Cause.isInterruptedOnly(exit.cause)) return 130
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure instanceof Failed) return failure.exitCode
  return ValidationError.isValidationError(failure) ? EXIT.usage : DEFECT
}

/** Does what the words after `clawdforge` say. Whatever it fails with has been said; {@link exitCodeOf} tells the rest. */
export const program = (words: ReadonlyArray<string>, version: string) =>
  Command.run(clawdforge, { name: "clawdforge", version })(["node", "clawdforge", ...words]).pipe(
    Effect.provide(CliConfig.layer({ showBuiltIns: false })),
    Effect.withTracerEnabled(false),
  )
