import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { FetchHttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { ConfigProvider, Console, Effect, type Exit, Fiber, Layer } from "effect"
import { Output } from "../../src/cli/Output.ts"
import { exitCodeOf, program } from "../../src/cli/Program.ts"
import { inherited } from "./ServerProcess.ts"

export const LAUNCHER = join(import.meta.dirname, "..", "..", "bin", "clawdforge.mjs")

type Environment = Readonly<Record<string, string>>

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** What a command that was asked for JSON printed. */
  readonly json: any
}

const finished = (code: number | null, stdout: string, stderr: string): Finished => ({
  code,
  stdout,
  stderr,
  get json() {
    return JSON.parse(stdout)
  },
})

/** A command at work in this process, with that environment; read by people if so. Interrupted with its scope. */
export const begin = (words: ReadonlyArray<string>, env: Environment = {}, isRead = false) =>
  Effect.gen(function* () {
    let stdout = ""
    let stderr = ""
    const out = (text: string) => Effect.sync(() => void (stdout += text))
    const output = Layer.succeed(Output, {
      isRead,
      json: (value) => out(`${JSON.stringify(value)}\n`),
      line: (text) => out(`${text}\n`),
      text: out,
      notice: (text) => Effect.sync(() => void (stderr += `${text}\n`)),
      progress: () => Effect.void,
    })
    const library = yield* Console.consoleWith(Effect.succeed)
    const console: Console.Console = {
      ...library,
      log: (...texts) => out(`${texts.join(" ")}\n`),
      error: (...texts) => Effect.sync(() => void (stderr += `${texts.join(" ")}\n`)),
    }
    const fiber = yield* program(words, "0.0.0").pipe(
      Effect.provide(Layer.mergeAll(NodeContext.layer, FetchHttpClient.layer, output)),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
      Effect.withConsole(console),
      Effect.forkScoped,
    )
    const ended = (exit: Effect.Effect<Exit.Exit<unknown, unknown>>) =>
      Effect.map(exit, (exit) => finished(exitCodeOf(exit), stdout, stderr))
    return {
      /** What it has printed so far. */
      shown: () => stdout,
      /** Its end. */
      end: ended(Fiber.await(fiber)),
      /** Its end by Ctrl-C. */
      interrupt: ended(Fiber.interrupt(fiber)),
    }
  })

/** A command in this process, to its end. */
export const cli = (words: ReadonlyArray<string>, env: Environment = {}): Effect.Effect<Finished> =>
  Effect.scoped(Effect.flatMap(begin(words, env), ({ end }) => end))

export interface ProcessOptions {
  readonly env?: Environment
  /** By default, where no .env lies. */
  readonly cwd?: string
  /** Given to Node before the launcher. */
  readonly node?: ReadonlyArray<string>
}

/** The command as a shell starts it; ended with its scope. */
export const startCli = (
  words: ReadonlyArray<string>,
  { env, cwd = import.meta.dirname, node = [] }: ProcessOptions = {},
) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [...node, LAUNCHER, ...words], {
        cwd,
        env: { ...inherited(), ...env },
        stdio: "pipe",
      }),
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL")),
  )

/** The command as a shell starts it, to its end. */
export const cliProcess = (
  words: ReadonlyArray<string>,
  { stdin = "", ...options }: ProcessOptions & { readonly stdin?: string | Uint8Array } = {},
): Effect.Effect<Finished> =>
  Effect.gen(function* () {
    const child = yield* startCli(words, options)
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.stdin.on("error", () => {}).end(stdin)
    const [code] = yield* Effect.promise(() => once(child, "close") as Promise<[number | null]>)
    return finished(code, stdout, stderr)
  }).pipe(Effect.scoped)
