import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { createReadStream } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { describe, expect, it } from "@effect/vitest"
import { LAUNCHER } from "./support/Cli.ts"
import { inherited } from "./support/ServerProcess.ts"
import { post, readiness, scripted, type ServiceUnderTest, until, withService } from "./support/Service.ts"

/** The service with a log that cannot be written. */

/** Starts the service; the shell opens its stdout and stderr on `log`. */
const startInto = (log: string, { dataDir }: ServiceUnderTest, env: Readonly<Record<string, string>>) => {
  const child = spawn("sh", ["-c", 'exec "$0" "$1" >"$2" 2>&1', process.execPath, LAUNCHER, log], {
    cwd: import.meta.dirname,
    env: { ...inherited(), ...scripted, DATA_DIR: dataDir(), SHUTDOWN_GRACE_SECS: "0", ...env },
    stdio: "ignore",
  })
  return {
    child,
    end: async () => {
      child.kill("SIGTERM")
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
      return child.exitCode ?? child.signalCode
    },
  }
}

/** Reads lines from a named pipe until `stop` closes it. */
const reader = (pipe: string) => {
  const lines: Array<string> = []
  const stream = createReadStream(pipe)
  createInterface(stream).on("line", (line) => lines.push(line))
  return { lines, stop: () => stream.destroy() }
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { readonly port: number }
  server.close()
  await once(server, "close")
  return port
}

describe.concurrent("a service whose log cannot be written", () => {
  it(
    "goes on without it when its reader leaves, says so, and logs again for the next reader",
    withService(async (service) => {
      const pipe = join(service.dataDir(), "log")
      execFileSync("mkfifo", [pipe])
      const server = startInto(pipe, service, { BIND_PORT: "0" })
      try {
        const first = reader(pipe)
        await until(() => first.lines.length > 0)
        const { url } = JSON.parse(first.lines[0] ?? "")
        first.stop()
        const token = await service.mint(url)
        const answer = await post(url, "/run", token, { prompt: "SAY one" })
        expect(answer.json).toMatchObject({ ok: true, result: "one" })
        await readiness(url, (lines) =>
          /^warn log: cannot be written \(EPIPE\); lines lost: \d+$/m.test(lines),
        )
        const ready = await fetch(`${url}/readyz`)
        expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining("warn log")])

        const second = reader(pipe)
        await readiness(url, (lines) => /^ok log: is written$/m.test(lines))
        await until(() => second.lines.some((line) => JSON.parse(line).lines > 0))
        expect(service.runs()).toEqual([{ status: "completed", code: null }])
        expect(await server.end()).toBe(0)
        second.stop()
      } finally {
        server.child.kill("SIGKILL")
      }
    }),
  )

  it(
    "goes on without it on a full disk, with stderr there too",
    withService(async (service) => {
      const port = await freePort()
      const server = startInto("/dev/full", service, { BIND_PORT: String(port) })
      try {
        const url = `http://127.0.0.1:${port}`
        const isUp = () =>
          fetch(`${url}/livez`).then(
            async (answer) => (await answer.text()) === "ok\n",
            () => false,
          )
        while (!(await isUp())) {
          expect([server.child.exitCode, server.child.signalCode]).toEqual([null, null])
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
        const token = await service.mint(url)
        const runs = [1, 2, 3].map((n) => post(url, "/run", token, { prompt: `SAY ${n}` }))
        expect((await Promise.all(runs)).map(({ json }) => json.result)).toEqual([1, 2, 3])
        await readiness(url, (lines) => /^warn log: cannot be written \(ENOSPC\)/m.test(lines))
        expect(await server.end()).toBe(0)
      } finally {
        server.child.kill("SIGKILL")
      }
    }),
  )
})
