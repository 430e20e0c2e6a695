import { connect } from "node:net"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { expectWithin } from "./support/Pace.ts"
import { claudeProcesses, deafProcesses } from "./support/ProcessTable.ts"
import { launch, type ServerProcess } from "./support/ServerProcess.ts"
import { post, readiness, scripted, serviceUnderTest, until, withService } from "./support/Service.ts"

/** The service as a process: what an operator starts, stops and kills. */

/** The whole lines that a server has printed since it listened. */
const linesOf = (server: ServerProcess) => {
  const before = server.output().split("\n").length - 1
  return () => server.output().split("\n").slice(before, -1)
}

describe("the service", () => {
  const { dataDir, start, adminToken, mint, runs } = serviceUnderTest("file")
  let server: ServerProcess
  beforeAll(async () => {
    server = await start()
  })

  it("writes one line of JSON a request, with no prompt, answer or token in it", async () => {
    const lines = linesOf(server)
    const token = await mint(server.url)
    await post(server.url, `/run?token=${token}`, token, { prompt: "x" })
    await post(server.url, "/run", token, { prompt: "SAY canary-2b3c" })
    await fetch(`${server.url}/nowhere/${token}`)
    // A line is written after its answer.
    await until(() => lines().length >= 4)
    expect(lines()).toHaveLength(4)
    expect(JSON.parse(lines()[2] ?? "")).toMatchObject({
      level: "INFO",
      message: "request",
      method: "POST",
      path: "/run",
      status: 200,
      token: "recipes",
      run_id: expect.any(String),
      request_id: expect.any(String),
      duration_ms: expect.any(Number),
      address: "127.0.0.1",
    })
    expect(server.output()).not.toContain("canary-2b3c")
    expect(server.output()).not.toContain(token)
  })

  it("starts without any setting: says where the admin token is, never what it is", async () => {
    const line = JSON.parse(server.output().trim().split("\n")[0] ?? "")
    expect(line.admin_token_file).toBe(join(dataDir(), "admin-token"))
    const minted = execFileSync("sh", ["-c", line.mint_a_token], { encoding: "utf8" })
    expect(JSON.parse(minted)).toMatchObject({ ok: true, name: "my-app" })
    expect(adminToken()).toMatch(/^cf_[\w-]{43}$/)
    expect(server.output()).not.toContain(adminToken())
    expect(statSync(join(dataDir(), "admin-token")).mode & 0o777).toBe(0o600)
    expect(statSync(join(dataDir(), "clawdforge.db")).mode & 0o777).toBe(0o600)
  })

  it("says in one line that its port is taken", async () => {
    const { exited, output } = launch({
      DATA_DIR: join(dataDir(), "other"),
      BIND_PORT: new URL(server.url).port,
      ADMIN_BOOTSTRAP_TOKEN: "x".repeat(32),
      ...scripted,
    })
    expect(await exited).toBe(1)
    expect(output().trim()).toMatch(/^cannot listen: [^\n]*EADDRINUSE[^\n]*$/)
  })

  it("has its data directory to itself: a second one refuses to start, and harms nothing", async () => {
    const token = await mint(server.url, dataDir(), "another")
    const waiting = post(server.url, "/run", token, { prompt: "HOLD" })
    await until(() => runs().at(-1)?.status === "running")
    const { exited, output } = launch({
      DATA_DIR: dataDir(),
      ...scripted,
    })
    expect(await exited).toBe(1)
    expect(output().trim()).toBe(
      `DATA_DIR: another clawdforge is at work on ${dataDir()}; each needs one of its own`,
    )
    expect(runs().at(-1)).toEqual({ status: "running", code: null })
    await server.end("SIGTERM")
    expect(await waiting).toMatchObject({ status: 503 })
  })
})

describe.concurrent("a service of its own", () => {
  it(
    "writes the client's address, not its trusted proxy's, in the line of a request",
    withService(async ({ start }) => {
      const server = await start({ TRUSTED_PROXIES: "127.0.0.0/8", ALLOW_CIDRS: "10.0.0.0/8" })
      const lines = linesOf(server)
      for (const hops of ["127.0.0.1, [::ffff:10.0.0.9]:567", "10.0.0.9, 203.0.113.5", "<script>"]) {
        await fetch(`${server.url}/healthz`, { headers: { "x-forwarded-for": hops } })
      }
      await until(() => lines().length >= 3)
      expect(lines().map((line) => JSON.parse(line))).toMatchObject([
        { status: 200, address: "10.0.0.9" },
        { status: 403, address: "203.0.113.5" },
        { status: 403, address: "127.0.0.1" },
      ])
      expect(server.output()).not.toContain("script>")
    }),
  )

  it(
    "warns at its start of settings that nothing reads, and of agents that cannot be started",
    withService(async ({ start }) => {
      const server = await start({
        CLAWDFORGE_MAX_QUEUE_TURNS: "1",
        CLAWDFORGE_AGENTS: "claude,gone=/nowhere/agent",
      })
      const warnings = server
        .output()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .filter(({ level }) => level === "WARN")
      expect(warnings.map(({ message }) => message)).toEqual([
        "CLAWDFORGE_MAX_QUEUE_TURNS is not a setting, and is ignored: is CLAWDFORGE_MAX_QUEUED_TURNS meant?",
        "CLAWDFORGE_AGENTS: no sessions with gone: it needs the command /nowhere/agent",
      ])
    }),
  )

  it(
    "outlives clients that reset their connections, and takes none of them for a stranger",
    withService(async ({ dataDir, start }) => {
      const server = await start()
      const port = Number(new URL(server.url).port)
      for (let n = 0; n < 300; n++) {
        const socket = connect(port, "127.0.0.1")
        socket.on("error", () => {})
        socket.write(
          ["CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "no HTTP\r\n\r\n", "GET /livez HTTP/1.1\r\n\r\n"][
            n % 3
          ] ?? "",
        )
        setTimeout(() => socket.resetAndDestroy(), n % 7)
        if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(await (await fetch(`${server.url}/livez`)).text()).toBe("ok\n")
      expect(await server.end("SIGTERM")).toBe(0)
      const db = new Sqlite(join(dataDir(), "clawdforge.db"), { readonly: true })
      expect(db.prepare("SELECT data FROM events").all()).toEqual([])
      db.close()
    }),
  )

  it(
    "killed in the middle of runs and started again: tokens work, and no run says it is running",
    withService(async ({ runsDir, start, mint, runs }) => {
      const first = await start({ CLAWDFORGE_MAX_CONCURRENT_RUNS: "1" })
      const token = await mint(first.url)
      await post(first.url, "/run", token, { prompt: "SAY done" })
      const hanging = [1, 2].map(() => post(first.url, "/run", token, { prompt: "DEAF" }).catch(() => "cut"))
      await until(() => runs().length === 3)
      await first.end("SIGKILL")
      expect(await Promise.all(hanging)).toEqual(["cut", "cut"])

      const second = await start()
      expect(runs()).toEqual([
        { status: "completed", code: null },
        { status: "lost", code: "run_failed" },
        { status: "lost", code: "run_failed" },
      ])
      expect(readdirSync(runsDir())).toEqual([])
      expect(claudeProcesses(runsDir())).toEqual([])
      expect((await post(second.url, "/run", token, { prompt: "SAY again" })).json.result).toBe("again")
    }),
  )

  it(
    "lets what runs go on for its grace when it is told to stop, and takes no new work",
    withService(async ({ dataDir, runsDir, start, mint, runs }) => {
      const server = await start({ SHUTDOWN_GRACE_SECS: "30", CLAWDFORGE_MAX_CONCURRENT_RUNS: "1" })
      const token = await mint(server.url)
      const steps = join(dataDir(), "steps")
      const slow = post(server.url, "/run", token, { prompt: `STEP ${steps} 1` })
      await until(() => claudeProcesses(runsDir()).length > 0)
      const queued = post(server.url, "/run", token, { prompt: "SAY queued" })
      await until(() => runs().length === 2)
      const code = server.end("SIGTERM")
      expect(await queued).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      expect(await post(server.url, "/run", token, { prompt: "SAY late" })).toMatchObject({
        status: 503,
        json: { code: "shutting_down" },
      })
      const ready = await fetch(`${server.url}/readyz`)
      expect([ready.status, await ready.text()]).toEqual([
        503,
        expect.stringMatching(/^fail service: is stopping$/m),
      ])
      const form = new FormData()
      form.set("file", new Blob(["x"]), "a")
      const upload = await fetch(`${server.url}/files`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: form,
      })
      expect(await upload.json()).toMatchObject({ code: "shutting_down" })
      mkdirSync(steps)
      writeFileSync(join(steps, "0"), "")
      expect(await slow).toMatchObject({ status: 200, json: { result: expect.stringMatching(/^0 /) } })
      expect(await code).toBe(0)
      expect(runs()).toEqual([
        { status: "completed", code: null },
        { status: "cancelled", code: "shutting_down" },
      ])
    }),
  )

  it(
    "ends what runs when it is told to stop, whatever signal comes then: answers, records, exits 0",
    withService(async ({ runsDir, start, mint, runs }) => {
      const server = await start()
      const token = await mint(server.url)
      const idle = await fetch(`${server.url}/healthz`, { headers: { connection: "keep-alive" } })
      await idle.text()
      const hanging = post(server.url, "/run", token, { prompt: "HOLD" })
      await until(() => claudeProcesses(runsDir()).length > 0)
      const deaf = post(server.url, "/run", token, { prompt: "DEAF" })
      await until(() => deafProcesses(runsDir()).length > 0)
      const code = server.end("SIGTERM")
      // The deaf one takes its grace of 4 s; who comes meanwhile is told.
      await readiness(server.url, (lines) => lines.includes("is stopping"))
      expect(await post(server.url, "/run", token, { prompt: "SAY late" })).toMatchObject({
        json: { code: "shutting_down" },
      })
      expect(await server.end("SIGINT")).toBe(0)
      expect(await code).toBe(0)
      expect(await deaf).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      expect(await hanging).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      expect(runs()).toEqual([1, 2].map(() => ({ status: "cancelled", code: "shutting_down" })))
      expect(deafProcesses(runsDir())).toEqual([])
      expect(server.process.signalCode).toBeNull()
      expect(claudeProcesses(runsDir())).toEqual([])
      expect(readdirSync(runsDir())).toEqual([])
    }),
  )

  it(
    "refuses to start with bad settings: a line for each",
    withService(async ({ dataDir }) => {
      const { exited, output } = launch({
        DATA_DIR: dataDir(),
        BIND_PORT: "eighty",
        ALLOW_CIDRS: "everyone",
        ADMIN_BOOTSTRAP_TOKEN: "short-secret",
      })
      expect(await exited).toBe(1)
      expect(output().trim().split("\n")).toEqual([
        "BIND_PORT: given eighty, expected a whole number from 0 to 65535",
        expect.stringMatching(/^ADMIN_BOOTSTRAP_TOKEN: given <redacted, 12 characters>, expected /),
        expect.stringMatching(/^ALLOW_CIDRS: given everyone, expected CIDRs/),
      ])
      expect(readdirSync(dataDir())).toEqual([])
    }),
  )

  it(
    "refuses to listen beyond loopback when nobody could use it",
    withService(async ({ dataDir }) => {
      const { exited, output } = launch({
        DATA_DIR: dataDir(),
        BIND_HOST: "0.0.0.0",
        ...scripted,
      })
      expect(await exited).toBe(1)
      expect(output().trim()).toMatch(/^ADMIN_BOOTSTRAP_TOKEN: unset while BIND_HOST is 0\.0\.0\.0[^\n]*$/)
    }),
  )

  it(
    "says in one line that it cannot keep its records",
    withService(async ({ dataDir }) => {
      const { exited, output } = launch({
        DATA_DIR: dataDir(),
        DB_PATH: "/proc/version/x.db",
        ...scripted,
      })
      expect(await exited).toBe(1)
      expect(output().trim()).toMatch(/^opening the database failed \(see DATA_DIR[^\n]*\): E[A-Z]+[^\n]*$/)
    }),
  )
})

// Alone, as it takes its time.
describe("a service that is told to stop", () => {
  it(
    "is gone within its grace and six seconds, whoever holds a connection, and whatever runs",
    withService(async ({ dataDir, runsDir, start, mint }) => {
      const server = await start({ SHUTDOWN_GRACE_SECS: "1" })
      const token = await mint(server.url)
      const port = Number(new URL(server.url).port)
      const say = (text: string) => {
        const socket = connect(port, "127.0.0.1")
        socket.on("error", () => {})
        socket.write(text)
        return socket
      }
      const head = `Host: x\r\nAuthorization: Bearer ${token}\r\n`
      const sockets = [
        say(""),
        say("GET /healthz HT"),
        say(`GET /healthz HTTP/1.1\r\n${head}\r\n`),
        say(`POST /run HTTP/1.1\r\n${head}Content-Length: 100\r\n\r\n{`),
        say(
          `POST /files HTTP/1.1\r\n${head}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n`,
        ),
        // Asks for megabytes and never reads them.
        say(`GET /docs HTTP/1.1\r\n${head}\r\n`.repeat(20)).pause(),
      ]
      const deaf = post(server.url, "/run", token, { prompt: "DEAF" })
      await until(() => deafProcesses(runsDir()).length > 0)
      await new Promise((resolve) => setTimeout(resolve, 1000))
      const at = Date.now()
      expect(await server.end("SIGTERM")).toBe(0)
      await expectWithin(Date.now() - at, 7000)
      expect(await deaf).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      expect(readdirSync(join(dataDir(), "files"))).toEqual([])
      for (const socket of sockets) socket.destroy()
    }),
  )
})
