import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

const LAUNCHER = join(import.meta.dirname, "..", "..", "bin", "clawdforge.mjs")

/** The service as an operator runs it: a process of its own. */
export interface ServerProcess {
  readonly url: string
  readonly process: ChildProcess
  /** All that it has printed so far. */
  readonly output: () => string
  /** Ends it by a signal and returns its exit code, or the signal that ended it. */
  readonly end: (signal: NodeJS.Signals) => Promise<number | string>
}

export const launch = (env: Readonly<Record<string, string>>) => {
  const child = spawn(process.execPath, [LAUNCHER], {
    // Where no .env lies.
    cwd: import.meta.dirname,
    env: { PATH: process.env["PATH"] ?? "", BIND_PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let printed = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (printed += String(data)))
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string)
  return { child, exited, output: () => printed }
}

/** Starts the service and waits until it listens. */
export const startServerProcess = async (env: Readonly<Record<string, string>>): Promise<ServerProcess> => {
  const { child, exited, output } = launch(env)
  const gone = exited.then((code) => {
    throw new Error(`the server ended with ${code}: ${output()}`)
  })
  const listening = (async () => {
    for (;;) {
      const url = /"url":"([^"]+)"/.exec(output())?.[1]
      if (url !== undefined) return url
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  const url = await Promise.race([listening, gone])
  gone.catch(() => {})
  return {
    url,
    process: child,
    output,
    end: (signal) => {
      child.kill(signal)
      return exited
    },
  }
}
