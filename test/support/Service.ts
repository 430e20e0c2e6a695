import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { processesOf } from "./ProcessTable.ts"
import { type ServerProcess, startServerProcess } from "./ServerProcess.ts"
import { scriptedClaude } from "./Scripted.ts"

export const scripted = { CLAUDE_BIN: scriptedClaude, ACPX_BIN: scriptedClaude }

/** A data directory, and the services on it. */
export type ServiceUnderTest = ReturnType<typeof serviceOn>

const serviceOn = (dataDir: () => string) => {
  const started: Array<ServerProcess> = []
  return {
    dataDir,
    runsDir: () => join(dataDir(), "runs"),
    /** On the scripted executables and without a grace at its end, unless `env` says otherwise. */
    start: async (env: Record<string, string> = {}) => {
      const server = await startServerProcess({
        DATA_DIR: dataDir(),
        SHUTDOWN_GRACE_SECS: "0",
        ...scripted,
        ...env,
      })
      started.push(server)
      return server
    },
    adminToken: () => tokenIn(dataDir()),
    /** A new app's token. */
    mint: async (url: string, dir = dataDir(), name = "recipes"): Promise<string> =>
      (await post(url, "/admin/tokens", tokenIn(dir), { name })).json.token,
    /** Every run's row, oldest first. */
    runs: () => rowsIn(dataDir(), "SELECT status, code FROM runs ORDER BY id"),
    rows: (query: string) => rowsIn(dataDir(), query),
    /** Kills what is still up, and removes the directory. */
    remove: async () => {
      for (const server of started.splice(0)) await server.end("SIGKILL")
      for (const pid of processesOf(dataDir())) kill(pid)
      rmSync(dataDir(), { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

const freshDirectory = () => mkdtempSync(join(tmpdir(), "clawdforge-test-"))

/** A data directory a test, or a file of tests, and the services on it: what is still up afterwards is killed. */
export const serviceUnderTest = (of: "test" | "file" = "test"): ServiceUnderTest => {
  let dataDir: string
  const [before, after] = of === "test" ? [beforeEach, afterEach] : [beforeAll, afterAll]
  const service = serviceOn(() => dataDir)
  before(() => {
    dataDir = freshDirectory()
  })
  after(service.remove)
  return service
}

/** A test with a data directory of its own, also when it runs beside others. */
export const withService =
  (test: (service: ServiceUnderTest) => Promise<void>) => async (): Promise<void> => {
    const dataDir = freshDirectory()
    const service = serviceOn(() => dataDir)
    try {
      await test(service)
    } finally {
      await service.remove()
    }
  }

const rowsIn = (dir: string, query: string): ReadonlyArray<any> => {
  const db = new Sqlite(join(dir, "clawdforge.db"), { readonly: true })
  try {
    return db.prepare(query).all()
  } finally {
    db.close()
  }
}

const kill = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // Gone by itself meanwhile.
  }
}

const tokenIn = (dir: string) => readFileSync(join(dir, "admin-token"), "utf8").trim()

export const ask = async (url: string, method: string, path: string, token: string, body?: object) => {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, json: (await response.json()) as any }
}

export const post = (url: string, path: string, token: string, body: object) =>
  ask(url, "POST", path, token, body)

/** Waits until that holds of what a service says of its readiness. */
export const readiness = async (url: string, holds: (lines: string) => boolean) => {
  while (!holds(await (await fetch(`${url}/readyz`)).text()))
    await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Waits until that holds, for two minutes. */
export const until = async (holds: () => boolean) => {
  for (let n = 0; n < 2400 && !holds(); n++) await new Promise((resolve) => setTimeout(resolve, 50))
  expect(holds()).toBe(true)
}
