import { Console, Context, Effect, Layer } from "effect"
import { EXIT, Failed } from "./Exit.ts"

/** How the command speaks: results to stdout, everything else to stderr. Fails when nobody takes its result. */
export class Output extends Context.Tag("clawdforge/cli/Output")<
  Output,
  {
    /** Whether people read the result: then it may come in pieces. */
    readonly isRead: boolean
    /** A result for programs: one JSON value on a line. */
    readonly json: (value: unknown) => Effect.Effect<void, Failed>
    /** A result for people, with the line's end. */
    readonly line: (text: string) => Effect.Effect<void, Failed>
    /** A part of a result for people, as it comes. */
    readonly text: (text: string) => Effect.Effect<void, Failed>
    /** Something beside the result. */
    readonly remark: (text: string) => Effect.Effect<void>
    /** Replaces what was said last in this way on the terminal's line; nothing where nobody watches. */
    readonly progress: (text: string) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.sync(Output, () => {
    const isWatched = process.stderr.isTTY === true
    // Each write hears of its own failure.
    process.stdout.on("error", () => {})
    return {
      isRead: process.stdout.isTTY === true,
      json: (value) => write(`${JSON.stringify(value)}\n`),
      line: (text) => write(`${text}\n`),
      text: write,
      remark: (text) => Console.error(text),
      // The whole line is cleared first: what was there may have been longer.
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
      // Who reads it may have had enough of it.
      code === "EPIPE"
        ? new Failed({ exitCode: EXIT.unread })
        : Effect.zipRight(
            Console.error(`clawdforge: the result cannot be written: ${message}`),
            new Failed({ exitCode: EXIT.transport }),
          ),
    ),
  )
