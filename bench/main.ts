/**
 * Measures `POST /run` and a session's turn against the bare CLI, and an authenticated request and an event for many
 * followers against a bare HTTP server. The two sides of a pair alternate on the same machine, so the ratios hold even
 * where the absolute figures do not. Prints a Markdown table.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { availableParallelism, loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import autocannon from "autocannon"
import { Option } from "effect"
import { claudeExecutable } from "../src/infra/Executables.ts"
import { startServerProcess } from "../test/support/ServerProcess.ts"
import { startStandInApi } from "../test/support/StandInApi.ts"
import { delivery, EVENTS_A_SECOND, STREAMS } from "./streams.ts"

const PAIRS = 12
const HTTP_ROUNDS = 3
const HTTP_SECONDS = 4
const CONNECTIONS = 32
const STREAM_ROUNDS = 3

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
const admin = readFileSync(join(dir, "admin-token"), "utf8").trim()
const bare = spawn(process.execPath, [join(import.meta.dirname, "bare-server.mjs")], {
  stdio: ["ignore", "pipe", "inherit"],
})
const bareUrl = String((await once(bare.stdout, "data"))[0]).trim()

const post = async (path: string, token: string, body: object, url = server.url) => {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  return (await response.json()) as { readonly token: string; readonly session_id: string }
}

const millis = async (work: () => Promise<unknown>) => {
  const from = performance.now()
  await work()
  return performance.now() - from
}

const { command } = claudeExecutable(Option.none())
const bareCli = async () => {
  const child = spawn(command, ["-p", "--output-format", "json", "--no-session-persistence"], {
    cwd: dir,
    env,
  })
  child.stdout.resume()
  child.stdin.end("SAY hello")
  await once(child, "close")
}

const load = async (url: string, headers: Record<string, string> = {}) =>
  (await autocannon({ url, headers, connections: CONNECTIONS, duration: HTTP_SECONDS })).requests.average

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const alternate = async (count: number, left: () => Promise<number>, right: () => Promise<number>) => {
  const pairs: Array<readonly [number, number]> = []
  for (let n = 0; n < count; n++) pairs.push([await left(), await right()])
  return {
    left: median(pairs.map(([a]) => a)),
    right: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => a / b)),
  }
}

try {
  const { token } = await post("/admin/tokens", admin, { name: "bench" })
  const run = () => millis(() => post("/run", token, { prompt: "SAY hello" }))
  const cli = () => millis(bareCli)
  await alternate(2, run, cli)
  const runs = await alternate(PAIRS, run, cli)
  const { session_id } = await post("/sessions", token, {})
  const turn = () => millis(() => post(`/sessions/${session_id}/turn`, token, { prompt: "SAY hello" }))
  await alternate(2, turn, cli)
  const turns = await alternate(PAIRS, turn, cli)
  const authorization = `Bearer ${admin}`
  const requests = await alternate(
    HTTP_ROUNDS,
    () => load(`${server.url}/admin/tokens`, { authorization }),
    () => load(bareUrl),
  )
  const streamed = (url: string) => () =>
    delivery(`${url}/events/stream`, admin, (name) => post("/admin/tokens", admin, { name }, url))
  const streams = await alternate(STREAM_ROUNDS, streamed(server.url), streamed(bareUrl))
  console.log(`load ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} cores

| what | ours | the bare one | ratio |
|---|---|---|---|
| \`POST /run\` against \`claude -p\`, one at a time | ${runs.left.toFixed(0)} ms | ${runs.right.toFixed(0)} ms | ${runs.ratio.toFixed(2)} of its time |
| a session's next turn against \`claude -p\`, one at a time | ${turns.left.toFixed(0)} ms | ${turns.right.toFixed(0)} ms | ${turns.ratio.toFixed(2)} of its time |
| \`GET /admin/tokens\` against \`node:http\`, ${CONNECTIONS} connections | ${requests.left.toFixed(0)} req/s | ${requests.right.toFixed(0)} req/s | ${requests.ratio.toFixed(3)} of its rate |
| p99 delivery of an event to ${STREAMS} streams against \`node:http\`, ${EVENTS_A_SECOND} events a second | ${streams.left.toFixed(0)} ms | ${streams.right.toFixed(0)} ms | ${streams.ratio.toFixed(1)} of its time |`)
} finally {
  bare.kill()
  await server.end("SIGTERM")
  await api.close()
  rmSync(dir, { recursive: true, force: true })
}
