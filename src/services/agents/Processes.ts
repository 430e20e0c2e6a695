import { Context, type Effect, type Scope, type Stream } from "effect"
import type { ExecutableMissing, ProcessFailed } from "../../domain/Failure.ts"

/** A child process to start. It gets `env` and nothing else of our environment. */
export interface ProcessSpec {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** How a process ended: by itself, with a code, or by a signal. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
}

export interface RunningProcess {
  /** Hands a text to stdin, without waiting for its reader. One that is gone is no failure: the exit tells. */
  readonly write: (text: string) => Effect.Effect<void>
  readonly endInput: Effect.Effect<void>
  /** What it prints, chunk by chunk; ends when the pipe is closed. To be read once. */
  readonly output: Stream.Stream<Uint8Array>
  /** The last few KiB of its stderr so far. */
  readonly errorTail: Effect.Effect<string>
  readonly exit: Effect.Effect<ProcessExit>
}

/**
 * Port: child processes, each the leader of a process group of its own.
 *
 * Closing the scope ends the process and all its descendants, those that left the group too: SIGTERM, a grace of 4 s,
 * SIGKILL; it returns when none is left.
 */
export class Processes extends Context.Tag("clawdforge/Processes")<
  Processes,
  {
    readonly spawn: (
      spec: ProcessSpec,
    ) => Effect.Effect<RunningProcess, ExecutableMissing | ProcessFailed, Scope.Scope>
  }
>() {}
