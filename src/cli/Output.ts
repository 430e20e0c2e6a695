import { Console, Context, Effect, Layer } from "effect"

/** How the command speaks: results to stdout, everything else to stderr. */
export class Output extends Context.Tag("clawdforge/cli/Output")<
  Output,
  {
    /** A result for programs: one JSON value on a line. */
    readonly json: (value: unknown) => Effect.Effect<void>
    /** A result for people, with the line's end. */
    readonly line: (text: string) => Effect.Effect<void>
    /** A part of a result for people, as it comes. */
    readonly text: (text: string) => Effect.Effect<void>
    /** Something beside the result. */
    readonly remark: (text: string) => Effect.Effect<void>
    /** Replaces what was said last in this way on the terminal's line; nothing where nobody watches. */
    readonly progress: (text: string) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.sync(Output, () => {
    const isWatched = process.stderr.isTTY === true
    return {
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

const write = (text: string) => Effect.sync(() => void process.stdout.write(text))
