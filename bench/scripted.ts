/**
 * What the service itself costs: a run and a turn with a CLI and an agent that answer at once, against the same CLI and
 * the same agent without the service.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { client, methods, ndJsonStream, PROTOCOL_VERSION } from "@agentclientprotocol/sdk"
import { startServerProcess } from "../test/support/ServerProcess.ts"
import { alternate, type Group, median, millis, type Pairs, post, processorMillis } from "./measure.ts"

const ROUNDS = 4
const RUN_SECONDS = 3
/** As many runs as the service executes at the same time, unless it is told otherwise. */
const RUNS_AT_A_TIME = 8
const TURNS = 60

const CLI = join(import.meta.dirname, "scripted-cli.sh")
const AGENT = [join(import.meta.dirname, "..", "test", "support", "scripted-agent.mjs"), "--no-resume"]

/** The lines that the service sends to the CLI. */
const CLI_INPUT = [
  { type: "control_request", request_id: "initialize", request: { subtype: "initialize" } },
  { type: "control_request", request_id: "model", request: { subtype: "set_model", model: "sonnet" } },
  { type: "user", message: { role: "user", content: "hello" } },
]
  .map((message) => `${JSON.stringify(message)}\n`)
  .join("")

interface Counted {
  readonly count: number
  /** What one round measures: a rate or a time. */
  readonly value: number
}

const runs = async (run: () => Promise<unknown>): Promise<Counted> => {
  let count = 0
  const from = performance.now()
  const elapsed = () => (performance.now() - from) / 1000
  const worker = async () => {
    while (elapsed() < RUN_SECONDS) {
      await run()
      count += 1
    }
  }
  await Promise.all(Array.from({ length: RUNS_AT_A_TIME }, worker))
  return { count, value: count / elapsed() }
}

const turns = async (turn: () => Promise<unknown>): Promise<Counted> => {
  const times: Array<number> = []
  for (let n = 0; n < TURNS; n++) times.push(await millis(turn))
  return { count: TURNS, value: median(times) }
}

/** Speaks ACP to the scripted agent, without the service. */
const startBareAgent = async (cwd: string) => {
  const child = spawn(process.execPath, AGENT, { cwd, stdio: ["pipe", "pipe", "inherit"] })
  const connection = client({ name: "bench" }).connect(
    ndJsonStream(Writable.toWeb(child.stdin), Readable.toWeb(child.stdout)),
  )
  const { agent } = connection
  await agent.request(methods.agent.initialize, {
    protocolVersion: PROTOCOL_VERSION,
    clientCapabilities: {},
  })
  const { sessionId } = await agent.request(methods.agent.session.new, { cwd, mcpServers: [] })
  return {
    turn: () =>
      agent.request(methods.agent.session.prompt, {
        sessionId,
        prompt: [{ type: "text", text: "SAY hello" }],
      }),
    end: () => child.kill(),
  }
}

export const startScripted = async (): Promise<Group> => {
  const dir = mkdtempSync(join(tmpdir(), "clawdforge-bench-"))
  const server = await startServerProcess({
    HOME: dir,
    DATA_DIR: dir,
    CLAUDE_BIN: CLI,
    // Its version is probed once a minute. The real one takes a processor for a second to answer.
    ACPX_BIN: CLI,
    CLAWDFORGE_AGENTS: `scripted=${[process.execPath, ...AGENT].join(" ")}`,
  })
  const agent = await startBareAgent(dir)
  const admin = readFileSync(join(dir, "admin-token"), "utf8").trim()
  const { token } = await post<{ readonly token: string }>(`${server.url}/admin/tokens`, admin, {
    name: "bench",
  })

  const compare = async (
    what: string,
    round: (work: () => Promise<unknown>) => Promise<Counted>,
    ours: () => Promise<unknown>,
    bare: () => Promise<unknown>,
  ): Promise<Pairs & { readonly note: string }> => {
    const measured = (work: () => Promise<unknown>, pid: number | undefined) => {
      let count = 0
      let used = 0
      return {
        perPiece: () => (used / count).toFixed(1),
        round: async () => {
          const from = processorMillis(pid)
          const done = await round(work)
          used += processorMillis(pid) - from
          count += done.count
          return done.value
        },
      }
    }
    await alternate(
      1,
      async () => (await round(ours)).value,
      async () => (await round(bare)).value,
    )
    const left = measured(ours, server.process.pid)
    const right = measured(bare, process.pid)
    const pairs = await alternate(ROUNDS, left.round, right.round)
    return {
      ...pairs,
      note: `processor time of the service for ${what}: ${left.perPiece()} ms; of the bare one: ${right.perPiece()} ms`,
    }
  }

  const run = () => post(`${server.url}/run`, token, { prompt: "hello" })
  const bareRun = async () => {
    const child = spawn(CLI, [], { cwd: dir, env: { HOME: dir } })
    child.stdout.resume()
    child.stdin.end(CLI_INPUT)
    await once(child, "close")
  }
  return {
    rows: [
      {
        what: `\`POST /run\` on a scripted CLI against starting it bare, ${RUNS_AT_A_TIME} at a time`,
        unit: "runs/s",
        digits: 3,
        measure: () => compare("a run", runs, run, bareRun),
      },
      {
        what: "a session's next turn on a scripted agent against ACP to it, one at a time",
        unit: "ms",
        digits: 1,
        measure: async () => {
          const { session_id } = await post<{ readonly session_id: string }>(
            `${server.url}/sessions`,
            token,
            {
              agent: "scripted",
            },
          )
          const turn = () => post(`${server.url}/sessions/${session_id}/turn`, token, { prompt: "SAY hello" })
          return await compare("a turn", turns, turn, agent.turn)
        },
      },
    ],
    end: async () => {
      agent.end()
      await server.end("SIGTERM")
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
