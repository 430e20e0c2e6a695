import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { stripVTControlCharacters } from "node:util"
import { FetchHttpClient } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Layer, Logger, LogLevel } from "effect"
import { namesInEnvFile } from "../infra/EnvFile.ts"
import { unknownSettings } from "../infra/UnknownSettings.ts"
import { EXIT } from "./Exit.ts"
import { Output } from "./Output.ts"
import { exitCodeOf, program } from "./Program.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

const hasColours = process.stdout.isTTY === true && !process.env["NO_COLOR"]

const plain = (text: unknown) => (typeof text === "string" ? stripVTControlCharacters(text) : text)

/** Removes colours unless stdout is a terminal: the library always writes them. */
const withoutColours = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Console.consoleWith((console) => {
    const log = (...args: ReadonlyArray<unknown>) => console.log(...args.map(plain))
    return hasColours ? program : Effect.withConsole(program, { ...console, log })
  })

const args = process.argv.slice(2)
let signal: NodeJS.Signals = "SIGINT"
process.once("SIGTERM", (name) => (signal = name))
/** A signal is the usual end of the service: 0. For other commands, the code tells which signal it was, as in a shell. */
const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  const code = exitCodeOf(exit)
  if (code !== EXIT.interrupted || !Exit.isInterrupted(exit)) return code
  if (args[0] === "serve") return 0
  return 128 + constants.signals[signal]
}

let stdoutError: NodeJS.ErrnoException | undefined
process.stdout.on("error", (error) => (stdoutError = error))
// The result goes to stdout: a lost notice on stderr is no reason to end.
process.stderr.on("error", () => {})

/** The exit code, after all of stdout is written. Help that the library printed, and that is lost, is a failure too. */
const flushed = (code: number, end: (code: number) => void) =>
  process.stdout.write("", async () => {
    // The event comes after the callback.
    await new Promise(setImmediate)
    if (code !== 0 || stdoutError === undefined || args[0] === "serve") return end(code)
    if (stdoutError.code === "EPIPE") return end(EXIT.unread)
    console.error(`clawdforge: the result cannot be written: ${stdoutError.message}`)
    end(EXIT.transport)
  })

/** Prints names that are misspelt. The service logs them, and the doctor has them among its findings. */
const warnOfUnknownSettings = Effect.forEach(
  args[0] === "serve" || args[0] === "doctor"
    ? []
    : unknownSettings(Object.keys(process.env), namesInEnvFile()),
  (line) => Console.error(`clawdforge: ${line}`),
)

Effect.zipRight(warnOfUnknownSettings, program(args, version)).pipe(
  Effect.provide(Layer.mergeAll(NodeContext.layer, FetchHttpClient.layer, Output.layer)),
  withoutColours,
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, end) => {
      const code = codeOf(exit)
      if (Exit.isFailure(exit) && code === EXIT.defect) console.error(Cause.pretty(exit.cause))
      flushed(code, end)
    },
  }),
)
