import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import { claudeProcesses, processesGiven } from "./support/ProcessTable.ts"
import { isSoak } from "./support/Scale.ts"

/** `npm run demo`, as somebody runs it who has a login, settings and secrets of their own. */

const ROOT = join(import.meta.dirname, "..")
const KEY = "sk-ant-the-users-own-key-0123456789"

let dir: string
let home: string
let tmp: string
let provider: Server
let contacts: number

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "clawdforge-test-"))
  home = join(dir, "home")
  tmp = join(dir, "tmp")
  for (const made of [home, tmp]) mkdirSync(made)
  contacts = 0
  provider = createServer((_, response) => response.end("{}")).on("connection", () => (contacts += 1))
  await once(provider.listen(0, "127.0.0.1"), "listening")
})
afterEach(() => {
  provider.close()
  rmSync(dir, { recursive: true, force: true })
})

const start = () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))
  const [command, ...args] = scripts.demo.replace(/^exec /, "").split(" ")
  const theirs = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
  const child = spawn(command, args, {
    cwd: ROOT,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
      // The directory of Node's compile cache, if there is one.
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      HOME: home,
      TMPDIR: tmp,
      CLAUDE_CONFIG_DIR: join(home, "config"),
      ANTHROPIC_API_KEY: KEY,
      ANTHROPIC_AUTH_TOKEN: KEY,
      ANTHROPIC_BASE_URL: theirs,
      HTTPS_PROXY: theirs,
      HTTP_PROXY: theirs,
      CLAUDE_BIN: "/no/such/claude",
      DATA_DIR: join(home, "data"),
      BIND_HOST: "0.0.0.0",
      BIND_PORT: "eighty",
      ADMIN_BOOTSTRAP_TOKEN: "short",
    },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let printed = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (printed += String(data)))
  // Its output is all there when it closes, which may be after its exit.
  return {
    child,
    output: () => printed,
    ended: once(child, "close").then(([code, signal]) => code ?? signal),
  }
}

/** Nothing of it is left, and nothing of the user's was touched or asked. */
const expectNoTrace = () => {
  expect(readdirSync(tmp)).toEqual([])
  expect(processesGiven(tmp)).toEqual([])
  expect(readdirSync(home)).toEqual([])
  expect(contacts).toBe(0)
}

describe("the demo", () => {
  it("tells the whole story on three screens, contacts nobody, and leaves nothing", async () => {
    const { ended, output } = start()
    const code = await ended
    expect(code, output()).toBe(0)

    const steps = output().split(/^ ?\d+ of 13 (?=[A-Z].* \(\d+ s\)$)/m)
    expect(steps).toHaveLength(14)
    const outcomes = [
      /Not real: the model\.[^]*13 steps, in 15 s to a minute/,
      /200 OK, \d+ ms\n\s+\{"ok":true,"claude_present":true,"claude_version":"\d/,
      /200 OK, .*\n\s+\{"ok":true,"name":"recipes","token":"cf_[\w-]{4}…"/,
      /401 Unauthorized, .*\n\s+\{"ok":false,[^}]*"code":"unauthorized"/,
      /200 OK, .*\n\s+\{"ok":true,"result":\{"qty":2,"unit":"cup"\},/,
      /200 OK, .*\n\s+\{"ok":true,"result":\{"qty":1,"unit":"pinch"\},/,
      /"file_token":"ff_[\w-]{4}…",[^]*"result":"tool said: 1\\tBread: 500 g of flour/,
      /200 OK, .*\n\s+\{"ok":true,"result":"tool failed: \/etc\/passwd is outside/,
      /"agent":"claude"[^]*That is a loaf[^]*twice of everything/,
      /My bread takes 500 g of flour\.[^]*"already_closed":false/,
      /\d+ run +\{"run_id":[^]*last-event-id: \d+'[^]*\d+ result +\{"ok":true,"result":"Flour is/,
      /token\.mint +recipes[^]*admission\.refused +127\.0\.0\.1 +unauthorized[^]*run\.completed +recipes[^]*"texts":\d+/,
      /"already_revoked":false\}[^]*401 Unauthorized/,
      /Exit code 0[^]*asked \d+\s+times, each time\s+with the one login that only the service has[^]*npm start/,
    ]
    for (const [n, outcome] of outcomes.entries()) expect(steps[n]).toMatch(outcome)

    // Three screens of plain text; only the path of a directory may be longer than a line.
    const lines = output().split("\n")
    expect(lines.length).toBeLessThanOrEqual(180)
    expect(lines.filter((line) => line.length > 100 && !line.includes(tmp))).toEqual([])
    expect(output()).not.toMatch(/\u001B/)
    expect(output()).not.toMatch(/(cf|ff)_[\w-]{5}/)
    expect(output()).not.toContain(KEY)

    expectNoTrace()
  })

  it("fails with a line and an exit code when it cannot go on", async () => {
    rmSync(tmp, { recursive: true })
    const { ended, output } = start()
    expect(await ended).toBe(1)
    expect(output()).toMatch(/\nThe demo failed: no temporary directory: ENOENT[^\n]*\n$/)
  })

  it.each(isSoak ? (["SIGINT", "SIGTERM", "SIGHUP"] as const) : (["SIGINT"] as const))(
    "leaves nothing when %s ends it in the middle, and comes twice",
    async (signal) => {
      const { child, ended, output } = start()
      while (child.exitCode === null && claudeProcesses(tmp).length === 0)
        await new Promise((resolve) => setTimeout(resolve, 20))
      child.kill(signal)
      await new Promise((resolve) => setTimeout(resolve, 50))
      child.kill(signal)
      expect(await ended).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal])
      expect(output()).toContain("Stopped in the middle; nothing is left.")
      expectNoTrace()
    },
  )

  it("leaves nothing when its reader goes away", async () => {
    const { child, ended } = start()
    await once(child.stdout, "data")
    child.stdout.destroy()
    await ended
    expectNoTrace()
  })
})
