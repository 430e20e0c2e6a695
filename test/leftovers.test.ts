import { readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { expectWithin } from "./support/Pace.ts"
import { claudeProcesses, deafProcesses, probesOf, processesNamed } from "./support/ProcessTable.ts"
import { post, until, withService } from "./support/Service.ts"
import { startStandInApi } from "./support/StandInApi.ts"

/** No process outlives the service for long: it ends them when it is told to stop, or when it starts again. */

let names = 0
/** A run that starts three processes which leave its group, and waits; `ended` when the connection is. */
const escape = async (url: string, token: string, words = "HOLD") => {
  const name = `left-${process.pid}-${++names}-`
  const ended = post(url, "/run", token, { prompt: `ESCAPE ${name} ${words}` }).catch(() => "cut")
  await until(() => processesNamed(`${name}-up`).length === 3)
  return { name, ended }
}

/** Waits until the service has asked for the login: then nothing but its runs is at work for it. */
const probed = (dataDir: string) => until(() => probesOf(dataDir).length === 0)

/** How many processes of a dead server a start has logged that it ended. */
const saidToBeEnded = (output: string) =>
  [...output.matchAll(/"processes of a server that died are ended",\{"processes":(\d+)\}/g)].map((found) =>
    Number(found[1]),
  )

describe.concurrent("what the service had started", () => {
  it(
    "is gone before it exits, when it is told to stop, and before it listens, when it was killed and is started again; deaf or not, and nothing of another service",
    withService(async ({ dataDir, runsDir, start, mint }) => {
      const elsewhere = join(dataDir(), "elsewhere")
      const other = await start({ DATA_DIR: elsewhere })
      const theirs = await escape(other.url, await mint(other.url, elsewhere))

      const first = await start()
      const ours = await escape(first.url, await mint(first.url), "DEAF")
      // One of them was started by a process that goes, and it may take its time.
      await until(() => processesNamed(ours.name).length === 3)
      await until(() => deafProcesses(runsDir()).length === 1)
      await probed(dataDir())
      await first.end("SIGKILL")
      expect(await ours.ended).toBe("cut")
      expect(claudeProcesses(runsDir())).toHaveLength(4)

      const second = await start()
      expect(processesNamed(ours.name)).toEqual([])
      expect(claudeProcesses(runsDir())).toEqual([])
      expect(readdirSync(runsDir())).toEqual([])
      expect(saidToBeEnded(second.output())).toEqual([4])

      expect(processesNamed(theirs.name)).toHaveLength(3)
      const at = Date.now()
      expect(await other.end("SIGTERM")).toBe(0)
      await expectWithin(Date.now() - at, 10_000)
      expect(await theirs.ended).toMatchObject({ status: 503, json: { code: "shutting_down" } })
      expect(processesNamed(theirs.name)).toEqual([])
      expect(claudeProcesses(join(elsewhere, "runs"))).toEqual([])
      expect(readdirSync(join(elsewhere, "runs"))).toEqual([])
      for (const { output } of [first, other]) expect(saidToBeEnded(output())).toEqual([])
    }),
  )

  it(
    "is gone before it listens, when it is the real claude in the middle of its work",
    withService(async ({ dataDir, runsDir, start, mint }) => {
      const api = await startStandInApi()
      const env = {
        CLAUDE_BIN: "",
        HOME: dataDir(),
        ANTHROPIC_BASE_URL: api.url,
        ANTHROPIC_API_KEY: "sk-test-key-0123456789",
      }
      const first = await start(env)
      const token = await mint(first.url)
      const ended = post(first.url, "/run", token, { prompt: "HANG" }).catch(() => "cut")
      await until(() => api.requests.length === 1)
      // As it starts, it starts others, which go.
      await until(() => claudeProcesses(runsDir()).length === 1)
      await probed(dataDir())
      await first.end("SIGKILL")
      expect(await ended).toBe("cut")
      expect(claudeProcesses(runsDir())).toHaveLength(1)

      const second = await start(env)
      expect(claudeProcesses(runsDir())).toEqual([])
      expect(readdirSync(runsDir())).toEqual([])
      expect(saidToBeEnded(second.output())).toEqual([1])
      const again = await post(second.url, "/run", token, { prompt: "SAY again" })
      expect(again.json.result).toBe("again")
      await api.close()
    }),
  )
})
