import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { EventParser, openEvents, type ServerEvent } from "./support/EventSource.ts"
import { scale } from "./support/Scale.ts"
import { scriptedAgent } from "./support/Scripted.ts"
import { memoryOf, socketsOf } from "./support/ProcessTable.ts"
import { ask, post, serviceUnderTest, until } from "./support/Service.ts"

/** A client that stops reading harms nobody: a turn of many megabytes goes on, and costs the service no memory. */

const PAGES = scale.stalledPages
const MEBIBYTE = 1024 * 1024

const { dataDir, start, mint } = serviceUnderTest()

/** Looks again and again, and returns the most that was seen. */
const peakOf = (pid: number | undefined) => {
  let peak = memoryOf(pid, "VmRSS")
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(pid, "VmRSS"))
  }, 20)
  return () => {
    clearInterval(timer)
    return peak
  }
}

/** Posts a turn over a socket that reads the first bytes of its stream, and then no more. */
const stall = async (url: string, path: string, token: string, prompt: string): Promise<Socket> => {
  const body = JSON.stringify({ prompt, timeout_secs: 600 })
  const socket = connect(Number(new URL(url).port), "127.0.0.1")
  socket.on("error", () => {})
  socket.write(
    [
      `POST ${path} HTTP/1.1`,
      "Host: clawdforge",
      `Authorization: Bearer ${token}`,
      "Accept: text/event-stream",
      "Content-Type: application/json",
      `Content-Length: ${body.length}`,
      "",
      body,
    ].join("\r\n"),
  )
  await new Promise<void>((resolve) =>
    socket.once("readable", () => {
      resolve()
    }),
  )
  return socket
}

/** All that is still in a socket, as events; the chunks of HTTP are left to it. */
const restOf = async (socket: Socket): Promise<ReadonlyArray<ServerEvent>> => {
  const parts: Array<Buffer> = []
  for await (const part of socket) parts.push(part as Buffer)
  const [, ...body] = Buffer.concat(parts).toString("latin1").split("\r\n\r\n")
  const bytes = body.join("\r\n\r\n").replace(/(?:^|\r\n)[0-9a-f]+\r\n/g, "")
  return new EventParser().push(Buffer.from(bytes, "latin1"))
}

const ids = (events: ReadonlyArray<ServerEvent>) => events.map(({ id }) => id)

describe("a client that stops reading", () => {
  it("is cut; the turn ends well, others feel nothing, and replay gives the rest", async () => {
    const server = await start({ CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`, HOME: dataDir() })
    const token = await mint(server.url)
    const session = (await post(server.url, "/sessions", token, { agent: "scripted" })).json.session_id
    const turns = `/sessions/${session}/turn`
    const stateOfRun = async () => (await ask(server.url, "GET", "/runs?limit=1", token)).json.runs[0]

    // The first such turn has the service grow to what it needs for anybody.
    const warm = await openEvents(`${server.url}${turns}`, {
      method: "POST",
      token,
      body: { prompt: `PAGES ${PAGES}`, timeout_secs: 600 },
    })
    expect(await warm.ended).toBe("ended")
    expect(warm.events.length).toBeGreaterThan(PAGES)

    const before = memoryOf(server.process.pid, "VmRSS")
    const peak = peakOf(server.process.pid)
    const sockets = socketsOf(server.process.pid)
    const stalled = await stall(server.url, turns, token, `PAGES ${PAGES}`)
    const its = socketsOf(server.process.pid).filter((socket) => !sockets.includes(socket))
    expect(its.length).toBeGreaterThan(0)
    const other = await openEvents(`${server.url}/sessions/${session}/turns/2/events`, { token })
    while ((await stateOfRun()).status === "running") await sleep(200)
    await until(() => !socketsOf(server.process.pid).some((socket) => its.includes(socket)))
    expect(peak() - before).toBeLessThan(32 * MEBIBYTE)
    expect(await stateOfRun()).toMatchObject({ status: "completed", stop_reason: "end_turn", turn_index: 2 })

    expect(await other.ended).toBe("ended")
    expect(other.events).toHaveLength(warm.events.length)

    const got = await restOf(stalled)
    expect(got.length).toBeLessThan(PAGES / 2)
    const rest = await openEvents(`${server.url}/sessions/${session}/turns/2/events`, {
      token,
      headers: { "last-event-id": got.at(-1)?.id ?? "0" },
    })
    expect(await rest.ended).toBe("ended")
    expect([...ids(got), ...ids(rest.events)]).toEqual(ids(other.events))
  }, 400_000)
})
