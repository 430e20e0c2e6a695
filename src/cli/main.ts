import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { stripVTControlCharacters } from "node:util"
import { FetchHttpClient } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Layer, Logger, LogLevel } from "effect"
import { EXIT } from "./Exit.ts"
import { Output } from "./Output.ts"
import { exitCodeOf, program } from "./Program.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

const colours = process.stdout.isTTY === true && !process.env["NO_COLOR"]

/** The library writes its help with colours wherever it goes, and pads commands to the longest of them. */
const readable = (text: unknown): unknown => {
  if (typeof text !== "string") return text
  const folded = text.replace(/^( *- .*\S) {2,}(\S.*)$/gm, "$1\n      $2")
  return colours ? folded : stripVTControlCharacters(folded)
}
const withReadableHelp = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Console.consoleWith((console) => {
    const log = (...args: ReadonlyArray<unknown>) => console.log(...args.map(readable))
    return Effect.withConsole(program, { ...console, log })
  })

const words = process.argv.slice(2)
let signal: NodeJS.Signals = "SIGINT"
process.once("SIGTERM", (name) => (signal = name))
/** The service knows no other end; of everything else a shell says how it was ended. */
const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  const code = exitCodeOf(exit)
  if (code !== EXIT.interrupted || !Exit.isInterrupted(exit)) return code
  if (words[0] === "serve") return 0
  return 128 + constants.signals[signal]
}

program(words, version).pipe(
  Effect.provide(Layer.mergeAll(NodeContext.layer, FetchHttpClient.layer, Output.layer)),
  withReadableHelp,
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, end) => {
      const code = codeOf(exit)
      if (Exit.isFailure(exit) && code === EXIT.defect) console.error(Cause.pretty(exit.cause))
      end(code)
    },
  }),
)
