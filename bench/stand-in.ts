/**
 * `POST /run` and a session's turn against the bare CLI, with a local stand-in for the provider that answers at once. An
 * authenticated request and an event for many followers against a bare HTTP server.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import autocannon from "autocannon"
import { Option } from "effect"
import { claudeExecutable } from "../src/infra/Executables.ts"
import { startServerProcess } from "../test/support/ServerProcess.ts"
import { startStandInApi } from "../test/support/StandInApi.ts"
import { alternate, type Group, millis, post } from "./measure.ts"
import { delivery, EVENTS_A_SECOND, STREAMS } from "./streams.ts"

const PAIRS = 12
const HTTP_ROUNDS = 3
const HTTP_SECONDS = 4
const CONNECTIONS = 32
const STREAM_ROUNDS = 3

const load = async (url: string, headers: Record<string, string> = {}) =>
  (await autocannon({ url, headers, connections: CONNECTIONS, duration: HTTP_SECONDS })).requests.average

export const startStandIn = async (): Promise<Group> => {
  const dir = mkdtempSync(join(tmpdir(), "clawdforge-bench-"))
  const api = await startStandInApi()
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: dir,
    ANTHROPIC_BASE_URL: api.url,
    ANTHROPIC_API_KEY: "bench",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  }
  const server = await startServerProcess({ ...env, DATA_DIR: dir })
  const bare = spawn(process.execPath, [join(import.meta.dirname, "bare-server.mjs")], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const bareUrl = String((await once(bare.stdout, "data"))[0]).trim()
  const admin = readFileSync(join(dir, "admin-token"), "utf8").trim()
  const { token } = await post<{ readonly token: string }>(`${server.url}/admin/tokens`, admin, {
    name: "bench",
  })

  const { command } = claudeExecutable(Option.none())
  const cli = () =>
    millis(async () => {
      const child = spawn(command, ["-p", "--output-format", "json", "--no-session-persistence"], {
        cwd: dir,
        env,
      })
      child.stdout.resume()
      child.stdin.end("SAY hello")
      await once(child, "close")
    })
  const againstCli = async (path: string) => {
    const ours = () => millis(() => post(server.url + path, token, { prompt: "SAY hello" }))
    await alternate(2, ours, cli)
    return alternate(PAIRS, ours, cli)
  }
  const streamed = (url: string) => () =>
    delivery(`${url}/events/stream`, admin, (name) => post(`${url}/admin/tokens`, admin, { name }))

  return {
    rows: [
      {
        what: "`POST /run` against `claude -p`, one at a time",
        unit: "ms",
        digits: 2,
        measure: () => againstCli("/run"),
      },
      {
        what: "a session's next turn against `claude -p`, one at a time",
        unit: "ms",
        digits: 2,
        measure: async () => {
          const session = await post<{ readonly session_id: string }>(`${server.url}/sessions`, token, {})
          return againstCli(`/sessions/${session.session_id}/turn`)
        },
      },
      {
        what: `\`GET /admin/tokens\` against \`node:http\`, ${CONNECTIONS} connections`,
        unit: "req/s",
        digits: 3,
        measure: () =>
          alternate(
            HTTP_ROUNDS,
            () => load(`${server.url}/admin/tokens`, { authorization: `Bearer ${admin}` }),
            () => load(bareUrl),
          ),
      },
      {
        what: `p99 delivery of an event to ${STREAMS} streams against \`node:http\`, ${EVENTS_A_SECOND} events a second`,
        unit: "ms",
        digits: 1,
        measure: () => alternate(STREAM_ROUNDS, streamed(server.url), streamed(bareUrl)),
      },
    ],
    end: async () => {
      bare.kill()
      await server.end("SIGTERM")
      await api.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
