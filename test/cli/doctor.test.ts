import { createServer as createHttpServer, request } from "node:http"
import { createServer, type AddressInfo } from "node:net"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { begin, cli, cliProcess, type Finished } from "../support/Cli.ts"
import {
  ADMIN_TOKEN,
  eventually,
  scriptedClaude,
  startServer,
  temporaryDirectory,
} from "../support/TestServer.ts"

interface Finding {
  readonly name: string
  readonly level: string
  readonly detail: string
  readonly remedy: string | null
}

/** The environment of a machine without faults. */
const machine = Effect.map(temporaryDirectory, (dir) => ({
  DATA_DIR: join(dir, "data"),
  BIND_PORT: "0",
  CLAUDE_BIN: scriptedClaude,
  ACPX_BIN: scriptedClaude,
}))

const faultsIn = ({ code, json }: Finished) => {
  const faults = (json.findings as ReadonlyArray<Finding>).filter(({ level }) => level === "fault")
  expect(json.ok).toBe(faults.length === 0)
  expect(code).toBe(faults.length === 0 ? 0 : 1)
  // On most machines of these tests no service runs. One test is about that.
  return faults.filter(({ detail }) => !detail.startsWith("no service runs"))
}

const faultsOf = (env: Readonly<Record<string, string>>, ...words: ReadonlyArray<string>) =>
  Effect.map(cli(["doctor", "--json", ...words], env), faultsIn)

/** The faults in a process of its own: CLIs get the environment of the process. */
const faultsInProcess = (env: Readonly<Record<string, string>>) =>
  Effect.map(cliProcess(["doctor", "--json"], { env }), faultsIn)

const aboutAs = (name: string, detail: RegExp, remedy: RegExp) => [
  { name, level: "fault", detail: expect.stringMatching(detail), remedy: expect.stringMatching(remedy) },
]

const listening = (port: number, server: ReturnType<typeof createServer>) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close()),
  )

describe("clawdforge doctor", () => {
  it.scopedLive("finds no fault on a good machine", () =>
    Effect.gen(function* () {
      const { ACPX_BIN: _, ...env } = yield* machine
      const found = yield* cli(["doctor", "--json"], env)
      expect([found.code, faultsIn(found)]).toEqual([1, []])
      expect(found.json.findings).toContainEqual({
        name: "service",
        level: "fault",
        detail: "no service runs at http://127.0.0.1:0",
        remedy: expect.stringContaining("npm start"),
      })
      const typo = { CLAWDFORGE_MAX_QUEUE_TURNS: "1" }
      const { code, stdout } = yield* cliProcess(["doctor"], { env: { ...env, ...typo } })
      expect(code).toBe(1)
      expect(stdout).toMatch(/^note +settings +CLAWDFORGE_MAX_QUEUE_TURNS is not a setting/m)
      expect(stdout).toMatch(/^ok +claude +0\.0\.1/m)
    }),
  )

  it.scopedLive("prints each finding when it is known", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const slow = join(dir, "claude")
      const script = `#!/bin/sh\nwhile [ ! -e '${dir}/go' ]; do sleep 0.02; done\nexec '${scriptedClaude}' "$@"\n`
      writeFileSync(slow, script, { mode: 0o755 })
      const doctor = yield* begin(["doctor"], { ...(yield* machine), CLAUDE_BIN: slow })
      yield* eventually(() => {
        for (const name of ["node", "settings", "port", "data", "acpx"])
          expect(doctor.shown()).toMatch(new RegExp(`^ok +${name} `, "m"))
        expect(doctor.shown()).toMatch(/^FAULT +service +no service runs/m)
      })
      expect(doctor.shown()).not.toMatch(/ claude | login /)
      writeFileSync(join(dir, "go"), "")
      const { code, stdout } = yield* doctor.end
      expect([code, stdout]).toEqual([1, expect.stringMatching(/^ok +claude [^]*^ok +login /m)])
    }),
  )

  it.scopedLive("finds a missing CLI", () =>
    Effect.gen(function* () {
      const env = { ...(yield* machine), CLAUDE_BIN: "/nowhere/claude" }
      expect(yield* faultsOf(env)).toEqual(aboutAs("claude", /CLAUDE_BIN/, /npm ci.*CLAUDE_BIN/))
      const agent = { ...(yield* machine), CLAWDFORGE_AGENTS: "claude,gemni" }
      expect(yield* faultsOf(agent)).toEqual(aboutAs("agents", /gemni.*is gemini meant/, /CLAWDFORGE_AGENTS/))
      const acpx = { ...(yield* machine), ACPX_BIN: "/nowhere/acpx", CLAWDFORGE_AGENT_BACKEND: "acpx" }
      expect(yield* faultsOf(acpx)).toEqual(aboutAs("acpx", /missing/, /ACPX_BIN/))
    }),
  )

  it.scopedLive("finds a claude that does not start", () =>
    Effect.gen(function* () {
      const broken = join(yield* temporaryDirectory, "claude")
      writeFileSync(broken, "#!/bin/sh\necho Error: config broken\nexit 3\n", { mode: 0o755 })
      const env = { ...(yield* machine), CLAUDE_BIN: broken }
      expect(yield* faultsOf(env)).toEqual(aboutAs("claude", /CLAUDE_BIN/, /CLAUDE_BIN/))
    }),
  )

  it.scopedLive("finds a missing login", () =>
    Effect.gen(function* () {
      const loggedOut = join(yield* temporaryDirectory, "claude")
      const script = `#!/bin/sh\nCLAUDE_SCRIPTED_LOGIN=none exec '${scriptedClaude}' "$@"\n`
      writeFileSync(loggedOut, script, { mode: 0o755 })
      const env = { ...(yield* machine), CLAUDE_BIN: loggedOut }
      expect(yield* faultsOf(env)).toEqual(aboutAs("login", /not logged in/, /\/login.*ANTHROPIC_API_KEY/))
    }),
  )

  it.scopedLive("finds a missing login of the real claude", () =>
    Effect.gen(function* () {
      const { CLAUDE_BIN: _, ACPX_BIN: __, ...env } = yield* machine
      const found = yield* faultsInProcess({ ...env, CLAUDE_CONFIG_DIR: yield* temporaryDirectory })
      expect(found).toEqual(aboutAs("login", /not logged in/, /\/login/))
    }),
  )

  it.scopedLive("finds a database that cannot be written to", () =>
    Effect.gen(function* () {
      const env = yield* machine
      mkdirSync(join(env.DATA_DIR, "clawdforge.db"), { recursive: true })
      expect(yield* faultsOf(env)).toEqual(
        aboutAs("data", /DB_PATH: .*clawdforge.db cannot be written to/, /DB_PATH/),
      )
    }),
  )

  it.scopedLive("finds a data directory that cannot be written to", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "file")
      writeFileSync(file, "")
      const env = { ...(yield* machine), DATA_DIR: join(file, "data") }
      expect(yield* faultsOf(env)).toEqual(aboutAs("data", /DATA_DIR.*cannot be written to/, /DATA_DIR/))
    }),
  )

  it.scopedLive("finds a port that another program uses, and recognises a clawdforge", () =>
    Effect.gen(function* () {
      const env = yield* machine
      const port = yield* listening(
        0,
        createServer((socket) => socket.destroy()),
      )
      expect(yield* faultsOf({ ...env, BIND_PORT: String(port) })).toEqual(
        aboutAs("port", new RegExp(`${port} is taken by another program`), /BIND_PORT/),
      )
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const local = { ...env, BIND_PORT: new URL(server.url).port }
      expect(yield* faultsOf(local)).toEqual([])
      // A CLAWDFORGE_URL of this machine's service: the machine is checked as without it.
      const named = { ...local, CLAWDFORGE_URL: `${server.url}/`, CLAUDE_BIN: "/nowhere/claude" }
      expect(yield* faultsOf(named)).toEqual(aboutAs("claude", /CLAUDE_BIN/, /CLAUDE_BIN/))
    }),
  )

  it.scopedLive("finds an allowlist that excludes the caller", () =>
    Effect.gen(function* () {
      const env = { ...(yield* machine), BIND_HOST: "0.0.0.0", ADMIN_BOOTSTRAP_TOKEN: ADMIN_TOKEN }
      expect(yield* faultsOf(env)).toEqual(aboutAs("allowlist", /nobody but this host/, /ALLOW_CIDRS/))
      const some = { ...env, ALLOW_CIDRS: "10.0.0.0/8" }
      expect(yield* faultsOf(some, "--from", "10.1.2.3")).toEqual([])
      expect(yield* faultsOf(some, "--from", "192.168.1.7")).toEqual(
        aboutAs("caller", /192\.168\.1\.7 is not in the allowlist/, /10\.0\.0\.0\/8,192\.168\.1\.7\/32/),
      )
    }),
  )

  it.scopedLive("finds the same on the caller's machine", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        claudeBin: Option.some(scriptedClaude),
        trustedProxies: ["127.0.0.1"],
      })
      // Behind the proxy, this machine has an address that is not allowed.
      const proxy = createHttpServer(({ url, headers, method }, response) => {
        const forwarded = { ...headers, "x-forwarded-for": "192.168.1.7" }
        request(`${server.url}${url}`, { method, headers: forwarded }, (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers)
          answer.pipe(response)
        }).end()
      })
      const port = yield* listening(0, proxy)
      expect(yield* faultsOf({ CLAWDFORGE_URL: `http://127.0.0.1:${port}` })).toEqual(
        aboutAs("service", /allowlist excludes this machine/, /ALLOW_CIDRS/),
      )
      const elsewhere = yield* server.mint("elsewhere", ["10.0.0.0/8"])
      expect(yield* faultsOf({ CLAWDFORGE_URL: server.url, CLAWDFORGE_TOKEN: elsewhere })).toEqual(
        aboutAs("token", /may not be used from this machine/, /--cidr/),
      )
      expect(yield* faultsOf({ CLAWDFORGE_URL: server.url, CLAWDFORGE_TOKEN: "cf_unknown" })).toEqual(
        aboutAs("token", /does not know/, /token mint/),
      )
    }),
  )

  it.scopedLive("finds what keeps a running service from its work", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some("/nowhere/claude") })
      const elsewhere = { CLAWDFORGE_URL: server.url, CLAWDFORGE_TOKEN: yield* server.mint("app") }
      const found = yield* faultsOf(elsewhere)
      expect(found).toEqual(aboutAs("service", /not ready: claude: .*CLAUDE_BIN/, /log/))
    }),
  )

  it.scopedLive("says that it leaves out .env, so that other settings than the service's are checked", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory
      writeFileSync(join(cwd, ".env"), `CLAUDE_BIN=${scriptedClaude}\n`)
      const env = { ...(yield* machine), CLAWDFORGE_URL: "http://127.0.0.1:0" }
      const told = expect.stringContaining(".env is not read")
      const found = yield* cliProcess(["doctor", "--json"], { cwd, env })
      expect(found.json.findings).toContainEqual(expect.objectContaining({ level: "note", detail: told }))
      const { CLAWDFORGE_URL: _, ...unnamed } = env
      const loaded = yield* cliProcess(["doctor", "--json"], { cwd, env: unnamed })
      expect(loaded.json.findings).not.toContainEqual(expect.objectContaining({ detail: told }))
    }),
  )

  it.live("reports a Node that is too old", () =>
    Effect.gen(function* () {
      const older = `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})`
      const { code, stderr } = yield* cliProcess(["doctor"], { node: ["--import", older] })
      expect(code).toBe(1)
      expect(stderr).toMatch(/needs Node 22\.18 or newer.*20\.20\.2.*install Node 24/)
    }),
  )

  it.scopedLive("finds every bad setting", () =>
    Effect.gen(function* () {
      const env = { ...(yield* machine), BIND_PORT: "high", DEFAULT_TIMEOUT_SECS: "0" }
      expect((yield* faultsOf(env)).map(({ detail }) => detail.split(":")[0])).toEqual([
        "BIND_PORT",
        "DEFAULT_TIMEOUT_SECS",
      ])
    }),
  )
})
