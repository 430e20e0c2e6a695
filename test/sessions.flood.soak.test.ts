import { once } from "node:events"
import { Worker } from "node:worker_threads"
import { describe, expect, it } from "@effect/vitest"
import { expectWithin } from "./support/Pace.ts"
import { memoryOf } from "./support/ProcessTable.ts"
import { isSoak, scale } from "./support/Scale.ts"
import { said, scriptedAgent } from "./support/Scripted.ts"
import { post, serviceUnderTest } from "./support/Service.ts"

/** Turns of many megabytes arrive whole; they cost the service a multiple of their own size, and nobody else his time. */

const UPDATES = scale.updates
const BYTES = scale.updateBytes
/** What the service grows by whatever it passes on, which counts only beside a small turn. */
const ROOM_BYTES = isSoak ? 0 : 32 * 1024 * 1024

const { dataDir, start, mint } = serviceUnderTest()

/** Asks for a sign of life all the time, and gives the longest that it took, in milliseconds, when it is stopped. */
const pulse = async (url: string) => {
  const worker = new Worker(new URL("./support/pulse.ts", import.meta.url), { workerData: url })
  const said = async () => (await once(worker, "message"))[0]
  await said()
  return (): Promise<number> => {
    worker.postMessage("stop")
    return said()
  }
}

describe.each(["direct"])("a flood by way of %s", (backend) => {
  const flooded = async (prompts: ReadonlyArray<string>) => {
    const server = await start({
      CLAWDFORGE_AGENT_BACKEND: backend,
      CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`,
      HOME: dataDir(),
    })
    const token = await mint(server.url)
    const opened = await post(server.url, "/sessions", token, { agent: "scripted" })
    const path = `/sessions/${opened.json.session_id}/turn`
    said(await post(server.url, path, token, { prompt: "SAY first" }))
    const before = memoryOf(server.process.pid, "VmRSS")
    const answers: Array<{ readonly text: string; readonly longest: number }> = []
    for (const prompt of prompts) {
      const stop = await pulse(server.url)
      const response = await fetch(`${server.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ prompt, timeout_secs: 600 }),
      })
      const text = await response.text()
      answers.push({ text, longest: await stop() })
      expect(response.status).toBe(200)
    }
    return { answers, grown: memoryOf(server.process.pid, "VmHWM") - before }
  }

  it(`of ${UPDATES} updates arrives whole, three times`, async () => {
    const { answers, grown } = await flooded(Array<string>(3).fill(`BIG ${UPDATES}`))
    const size = answers[0]?.text.length ?? 0
    for (const { text, longest } of answers) {
      const { events } = JSON.parse(text)
      expect(events).toHaveLength(UPDATES + 1)
      for (const [n, event] of events.slice(0, -1).entries()) {
        if (event.params.update.content.text !== `chunk ${n}`) expect.fail(`chunk ${n} is not in its place`)
      }
      await expectWithin(longest, 2000)
    }
    expect(grown).toBeLessThan(20 * size + ROOM_BYTES)
  }, 400_000)

  it(`of ${BYTES} bytes in one line arrives whole, three times`, async () => {
    const { answers, grown } = await flooded(Array<string>(3).fill(`HUGE ${BYTES}`))
    for (const { text, longest } of answers) {
      const { events } = JSON.parse(text)
      expect(events).toHaveLength(2)
      expect(JSON.stringify(events[0])).toHaveLength(BYTES - 1)
      await expectWithin(longest, 2000)
    }
    expect(grown).toBeLessThan(20 * BYTES + ROOM_BYTES)
  })
})
