import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

const LAUNCHER = join(import.meta.dirname, "..", "..", "bin", "clawdforge.mjs")

/** What a process that a test starts has of this environment: where programs are, and where compiled code is kept. */
export const inherited = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ["PATH", "NODE_COMPILE_CACHE"].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )

/** The service as an operator runs it: a process of its own. */
export interface ServerProcess {
  readonly url: string
  readonly process: ChildProcess
  /** All that it has printed so far. */
  readonly output: () => string
  /** Ends it by a signal and returns its exit code, or the signal that ended it. */
  readonly end: (signal: NodeJS.Signals) => Promise<number | string>
}

/** `detached`: in a process group of its own, so that Ctrl-C at a terminal does not reach it past its starter. */
export const launch = (
  env: Readonly<Record<string, string>>,
  { detached = false, launcher = LAUNCHER } = {},
) => {
  const child = spawn(process.execPath, [launcher], {
    // Where no .env lies.
    cwd: import.meta.dirname,
    env: { ...inherited(), BIND_PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached,
  })
  let printed = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (printed += String(data)))
  // Its output is all there when it closes, which may be after its exit.
  const exited = once(child, "close").then(([code, signal]) => (code ?? signal) as number | string)
  return { child, exited, output: () => printed }
}

type Launched = ReturnType<typeof launch>

/** Waits until it listens, and returns where; rejects with what it printed when it ends instead. */
export const listening = async ({ child, exited, output }: Launched): Promise<string> => {
  for (;;) {
    const url = /"url":"([^"]+)"/.exec(output())?.[1]
    if (url !== undefined) return url
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the server ended with ${await exited}: ${output()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Starts the service, of this checkout or of whatever launcher, and waits until it listens. */
export const startServerProcess = async (
  env: Readonly<Record<string, string>>,
  launcher = LAUNCHER,
): Promise<ServerProcess> => {
  const launched = launch(env, { launcher })
  return {
    url: await listening(launched),
    process: launched.child,
    output: launched.output,
    end: (signal) => {
      launched.child.kill(signal)
      return launched.exited
    },
  }
}
