import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import packageJson from "../package.json" with { type: "json" }
import { inherited } from "./support/ServerProcess.ts"
import { scripted, until, withService } from "./support/Service.ts"

/** npm passes a signal to the shell of its script only, never to what that shell started. */

const CHECKOUT = join(import.meta.dirname, "..")

/** Starts npm in a process group of its own, so that no signal reaches its script but the one that npm passes on. */
const npm = (words: ReadonlyArray<string>, env: Readonly<Record<string, string>>) => {
  const child = spawn("npm", words, {
    cwd: CHECKOUT,
    env: { ...inherited(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  })
  let printed = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (printed += String(data)))
  const exited = once(child, "exit")
  return {
    printed: () => printed,
    /** Sends the signal to npm alone, and returns npm's end. */
    signal: async (signal: NodeJS.Signals) => {
      child.kill(signal)
      return exited
    },
    /** Ends whatever is left of the group. */
    killAll: () => {
      try {
        process.kill(-(child.pid ?? Number.NaN), "SIGKILL")
      } catch {
        // Nothing is left.
      }
    },
  }
}

const isListening = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

/** Whether a service holds the data directory. */
const isLocked = (dataDir: string) => {
  const lock = new Sqlite(join(dataDir, "lock"), { timeout: 0 })
  try {
    lock.exec("BEGIN EXCLUSIVE; ROLLBACK")
    return false
  } catch {
    return true
  } finally {
    lock.close()
  }
}

describe.concurrent("a signal to npm alone", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    it(
      `ends the service of npm start, and frees its port and its data directory: ${signal}`,
      withService(async ({ dataDir }) => {
        const started = npm(["start"], {
          ...scripted,
          HOME: dataDir(),
          DATA_DIR: dataDir(),
          BIND_PORT: "0",
          SHUTDOWN_GRACE_SECS: "0",
        })
        try {
          await until(() => started.printed().includes('"url"'))
          const port = Number(/"url":"[^"]+:(\d+)"/.exec(started.printed())?.[1])
          expect([await isListening(port), isLocked(dataDir())]).toEqual([true, true])
          expect(await started.signal(signal)).toEqual([0, null])
          expect([await isListening(port), isLocked(dataDir())]).toEqual([false, false])
        } finally {
          started.killAll()
        }
      }),
    )

  it(
    "ends the claude of npm run claude",
    withService(async ({ dataDir }) => {
      const claude = join(dataDir(), "claude")
      mkdirSync(dataDir(), { recursive: true })
      writeFileSync(claude, '#!/bin/sh\ntrap "echo ended; exit 7" TERM\necho begun\nsleep 60 & wait\n', {
        mode: 0o700,
      })
      const started = npm(["run", "claude"], { HOME: dataDir(), CLAUDE_BIN: claude })
      try {
        await until(() => started.printed().includes("begun"))
        expect(await started.signal("SIGTERM")).toEqual([7, null])
        expect(started.printed()).toContain("ended")
      } finally {
        started.killAll()
      }
    }),
  )

  it("reaches every script that starts a program which goes on: none leaves a shell between", () => {
    const lasting = ["start", "demo", "dev", "claude", "clawdforge", "bench"] as const
    for (const name of lasting) expect(packageJson.scripts[name]).toMatch(/^exec node /)
  })
})
