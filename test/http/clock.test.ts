import { afterEach, describe, expect, it } from "@effect/vitest"
import { type RunningForge, startForge } from "../../src/testing.ts"

/** The machine's date is set forward or back while the service runs, as an operator or NTP does. */

const DAY_MILLIS = 24 * 3600 * 1000

let forge: RunningForge
const start = async () => (forge = await startForge({ clock: "manual", sessionTtlSecs: 600 }))
afterEach(() => forge.dispose())

const ask = async (method: string, path: string, body?: object, token = forge.token) => {
  const response = await forge.fetch(path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return (await response.json()) as any
}

const opened = async () => (await ask("POST", "/sessions", {})).session_id as string
const statusOf = async (id: string) => (await ask("GET", `/sessions/${id}`)).status

/** The newest run's row, times in milliseconds. */
const newest = () => [...forge.memory.ledger.runs.values()].at(-1)

describe.each([
  ["forward", DAY_MILLIS],
  ["back", -DAY_MILLIS],
])("a date that is set %s by a day", (_, jump) => {
  it("is no part of a run's duration, and no run ends before it starts", async () => {
    await start()
    const held = forge.hold()
    const answer = ask("POST", "/run", { prompt: "x" })
    await held.started
    await forge.advance("2 seconds")
    forge.memory.clock.setWall(jump)
    await forge.advance("3 seconds")
    held.release()
    expect((await answer).duration_ms).toBe(5000)
    const { startedAt, finishedAt, end } = newest() ?? {}
    expect(end?.durationMs).toBe(5000)
    expect(finishedAt).toBeGreaterThanOrEqual(startedAt ?? Number.NaN)
  })

  it("is no part of a turn's duration, and no timeout", async () => {
    await start()
    const { session_id } = await ask("POST", "/sessions", {})
    const held = forge.agents.hold()
    const answer = ask("POST", `/sessions/${session_id}/turn`, { prompt: "x", timeout_secs: 60 })
    await held.started
    forge.memory.clock.setWall(jump)
    await forge.advance("7 seconds")
    held.release()
    expect((await answer).duration_ms).toBe(7000)
  })

  it("does not change what a full queue tells its clients, nor how long they wait", async () => {
    await forge?.dispose()
    forge = await startForge({ clock: "manual", maxConcurrentRuns: 1, maxQueuedRuns: 0 })
    const held = forge.hold()
    const first = ask("POST", "/run", { prompt: "x" })
    await held.started
    forge.memory.clock.setWall(jump)
    await forge.advance("10 seconds")
    held.release()
    await first
    const next = forge.hold()
    const second = ask("POST", "/run", { prompt: "y" })
    await next.started
    const refused = await forge.fetch("/run", {
      method: "POST",
      headers: { authorization: `Bearer ${forge.token}`, "content-type": "application/json" },
      body: '{"prompt":"z"}',
    })
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "10"])
    next.release()
    await second
  })

  it("lets a quiet stream get its comments", async () => {
    await start()
    const held = forge.hold()
    const response = await forge.fetch("/run", {
      method: "POST",
      headers: {
        authorization: `Bearer ${forge.token}`,
        "content-type": "application/json",
        accept: "text/event-stream",
      },
      body: '{"prompt":"x"}',
    })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const read = async () => new TextDecoder().decode((await reader.read()).value)
    expect(await read()).toContain("event: run")
    await held.started
    await forge.advance("1 second")
    forge.memory.clock.setWall(jump)
    await forge.advance("11 seconds")
    expect(await read()).toBe(":\n\n")
    held.release()
    await reader.cancel()
  })
})

describe("a date that is set forward", () => {
  it("makes no session idle: it gets its whole time, and so does one that is opened later", async () => {
    await start()
    await forge.advance("1 second")
    const early = await opened()
    await forge.advance("100 seconds")
    forge.memory.clock.setWall(DAY_MILLIS)
    await forge.advance("400 seconds")
    const late = await opened()
    expect([await statusOf(early), await statusOf(late)]).toEqual(["open", "open"])
    await forge.advance("200 seconds")
    expect([await statusOf(early), await statusOf(late)]).toEqual(["closed", "open"])
    await forge.advance("401 seconds")
    expect(await statusOf(late)).toBe("closed")
  })
})

describe("a date that is set back", () => {
  it("does not hold back what is recorded of refused requests", async () => {
    await start()
    await ask("GET", "/sessions", undefined, "cf_unknown")
    forge.memory.clock.setWall(-DAY_MILLIS)
    await forge.advance("2 seconds")
    await expect.poll(() => forge.memory.ledger.refusals.length).toBe(1)
  })
})
