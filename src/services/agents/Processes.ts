import { Context, type Effect, type Scope, type Stream } from "effect"
import type { ExecutableMissing, ProcessFailed } from "../../domain/Failure.ts"

/** How an executable is started: its command, and the arguments that come before all others. */
export interface Executable {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** A child process to start. Its environment is `env`; nothing is inherited from the service. */
export interface ProcessSpec {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** The name of a command's program, without its directory: for failures, which must not have paths in them. */
export const programName = (command: string): string => command.split("/").at(-1) ?? command

/** How a process ended. `code` is null when a signal ended it; `signal` is null when it exited by itself. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
}

/** A child process that was started. It may have exited. */
export interface RunningProcess {
  /** Writes a text to stdin. Does not wait until it is read, and does not fail when the process is gone. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Closes stdin. */
  readonly endInput: Effect.Effect<void>
  /** What the process writes to stdout. Ends when the pipe is closed. Can be read once. */
  readonly output: Stream.Stream<Uint8Array>
  /** The last few KiB of stderr: so far, or of all of it when the process has exited. */
  readonly errorTail: Effect.Effect<string>
  /** Completes when the process has exited. */
  readonly exit: Effect.Effect<ProcessExit>
}

/**
 * Port: child processes, each the leader of its own process group.
 *
 * Closing the scope ends the process and all its descendants, also those that left the group: SIGTERM, after 4 s
 * SIGKILL. The scope closes when none is left.
 */
export class Processes extends Context.Tag("clawdforge/Processes")<
  Processes,
  {
    /** Starts a process. Fails with `ExecutableMissing` when there is no such program, else with `ProcessFailed`. */
    readonly spawn: (
      spec: ProcessSpec,
    ) => Effect.Effect<RunningProcess, ExecutableMissing | ProcessFailed, Scope.Scope>
  }
>() {}
