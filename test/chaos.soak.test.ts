import { readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { claudeProcesses, processesNamed } from "./support/ProcessTable.ts"
import { randomFrom } from "./support/Random.ts"
import { scale } from "./support/Scale.ts"
import type { ServerProcess } from "./support/ServerProcess.ts"
import { post, serviceUnderTest } from "./support/Service.ts"

/** Everything is killed at random: the executable, its children, the service. Nothing is lost, nothing is left. */

const RUNS = scale.chaosRuns
const CLIENTS = 8
const RESTARTS = scale.chaosRestarts
const NAME = `chaos-${process.pid}-`

const { dataDir, runsDir, start, mint } = serviceUnderTest()
const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const seed = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000)
const random = randomFrom(seed)
const oneOf = <A>(all: ReadonlyArray<A>): A | undefined => all[Math.floor(random() * all.length)]

const PROMPTS = [
  "SAY hello",
  "SAY hello",
  "SLOW 300",
  "SLOW 1000",
  "HOLD",
  `ESCAPE ${NAME} SLOW 500`,
  "DEAF-CHILD",
]

const database = () => new Sqlite(join(dataDir(), "clawdforge.db"), { readonly: true })
const accepted = () => {
  const db = database()
  const { n } = db.prepare("SELECT count(*) AS n FROM runs").get() as { n: number }
  db.close()
  return n
}

const kill = (pid: number | undefined, signal: NodeJS.Signals) => {
  try {
    if (pid !== undefined) process.kill(pid, signal)
  } catch {
    // Gone by itself meanwhile.
  }
}

describe(`${RUNS} runs with random kills`, () => {
  it(`leave no process, no directory and no open row, and each has one outcome (seed ${seed})`, async () => {
    let server: ServerProcess | undefined = await start({ CLAWDFORGE_MAX_CONCURRENT_RUNS: "4" })
    const token = await mint(server.url)
    const answers: Array<{ readonly id: string; readonly status: number }> = []

    const ask = async () => {
      const url = server?.url
      if (url === undefined) return sleep(50)
      const response = await fetch(`${url}/run`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ prompt: oneOf(PROMPTS), timeout_secs: 1 }),
      }).catch(() => undefined)
      if (response === undefined) return sleep(50)
      await response.text().catch(() => "")
      const id = response.headers.get("x-run-id")
      if (id !== null) answers.push({ id, status: response.status })
    }
    const client = async () => {
      while (accepted() < RUNS) await ask()
    }
    const clients = Promise.all(Array.from({ length: CLIENTS }, client))

    let restarts = 0
    const killing = (async () => {
      while (accepted() < RUNS) {
        await sleep(random() * 400)
        const victims = random() < 0.5 ? claudeProcesses(runsDir()) : processesNamed(NAME)
        kill(oneOf(victims), random() < 0.7 ? "SIGKILL" : "SIGTERM")
        if (
          server !== undefined &&
          restarts < RESTARTS &&
          accepted() > ((restarts + 1) * RUNS) / (RESTARTS + 1)
        ) {
          restarts += 1
          const dying = server
          server = undefined
          await dying.end("SIGKILL")
          server = await start({ CLAWDFORGE_MAX_CONCURRENT_RUNS: "4" })
        }
      }
    })()
    await Promise.all([clients, killing])
    expect(restarts).toBe(RESTARTS)
    expect((await post(server?.url ?? "", "/run", token, { prompt: "SAY still here" })).json.result).toBe(
      "still here",
    )
    expect(await server?.end("SIGTERM")).toBe(0)

    expect(claudeProcesses(runsDir())).toEqual([])
    expect(processesNamed(NAME)).toEqual([])
    expect(readdirSync(runsDir())).toEqual([])

    const db = database()
    const rows = db.prepare("SELECT id, status FROM runs").all() as ReadonlyArray<{
      id: string
      status: string
    }>
    const outcomes = db
      .prepare(
        "SELECT run_id, count(*) AS n FROM events WHERE type NOT IN ('run.queued', 'run.started') AND run_id IS NOT NULL GROUP BY run_id",
      )
      .all() as ReadonlyArray<{ run_id: string; n: number }>
    const integrity = db.pragma("integrity_check", { simple: true })
    db.close()
    expect(integrity).toBe("ok")
    expect(rows.length).toBeGreaterThanOrEqual(RUNS)
    expect(rows.filter(({ status }) => status === "queued" || status === "running")).toEqual([])
    expect(outcomes.map(({ run_id }) => run_id).toSorted()).toEqual(rows.map(({ id }) => id).toSorted())
    expect(outcomes.filter(({ n }) => n !== 1)).toEqual([])

    const statusOf = new Map(rows.map(({ id, status }) => [id, status]))
    for (const { id, status } of answers) {
      expect([id, status, statusOf.get(id)]).toEqual([
        id,
        status,
        status === 200 ? "completed" : status === 504 ? "timed_out" : "failed",
      ])
    }
    expect(new Set(rows.map(({ status }) => status)).has("lost")).toBe(true)
  }, 400_000)
})
