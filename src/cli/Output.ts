import { Console, Context, Effect, Layer } from "effect"
import { EXIT, Failed } from "./Exit.ts"

/** Prints results to stdout, and everything else to stderr. Fails with `Failed` if stdout cannot be written. */
export class Output extends Context.Tag("clawdforge/cli/Output")<
  Output,
  {
    /** Whether stdout is a terminal: then a result may be printed in pieces. */
    readonly isRead: boolean
    /** Prints a result for programs: one JSON value on a line. */
    readonly json: (value: unknown) => Effect.Effect<void, Failed>
    /** Prints a result for people, with a line break. */
    readonly line: (text: string) => Effect.Effect<void, Failed>
    /** Prints a piece of a result for people, without a line break. */
    readonly text: (text: string) => Effect.Effect<void, Failed>
    /** Prints a line to stderr. */
    readonly notice: (text: string) => Effect.Effect<void>
    /** Replaces the progress text on the terminal's line. Does nothing if stderr is no terminal. */
    readonly progress: (text: string) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.sync(Output, () => {
    const isWatched = process.stderr.isTTY === true
    // Each write gets its own error, in its callback. Without a listener, the event would end the process.
    process.stdout.on("error", () => {})
    return {
      isRead: process.stdout.isTTY === true,
      json: (value) => write(`${JSON.stringify(value)}\n`),
      line: (text) => write(`${text}\n`),
      text: write,
      notice: (text) => Console.error(text),
      // Clears the whole line first: the last text may have been longer.
      progress: (text) =>
        isWatched ? Effect.sync(() => void process.stderr.write(`\r\u001b[2K${text}`)) : Effect.void,
    }
  })
}

const write = (text: string) =>
  Effect.async<void, NodeJS.ErrnoException>((resume) => {
    process.stdout.write(text, (error) => resume(error ? Effect.fail(error) : Effect.void))
  }).pipe(
    Effect.catchAll(({ code, message }) =>
      // The reader has closed the pipe, as `head` does: that is no error to report.
      code === "EPIPE"
        ? new Failed({ exitCode: EXIT.unread })
        : Effect.zipRight(
            Console.error(`clawdforge: the result cannot be written: ${message}`),
            new Failed({ exitCode: EXIT.transport }),
          ),
    ),
  )
