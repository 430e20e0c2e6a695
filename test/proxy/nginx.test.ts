import { mkdtempSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { type Opened, openEvents, type ServerEvent } from "../support/EventSource.ts"
import { type Nginx, startNginx, type Variant } from "../support/Nginx.ts"
import type { ServerProcess } from "../support/ServerProcess.ts"
import { post, serviceUnderTest, until } from "../support/Service.ts"
import { scriptedAgent } from "../support/Sessions.ts"

/**
 * Streams through Debian's nginx, with the location in docs/operating.md. The agent sends each message only after the one
 * before has arrived: if the proxy held back anything, a test would wait forever.
 */

const STEPS = 8

const { dataDir, rows, start, mint } = serviceUnderTest("file")

let server: ServerProcess
let token: string
beforeAll(async () => {
  server = await start({
    TRUSTED_PROXIES: "127.0.0.1",
    CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`,
  })
  token = await mint(server.url)
})

const behind = (variant: Variant): (() => string) => {
  let nginx: Nginx
  beforeAll(async () => {
    nginx = await startNginx(server.url, variant)
  })
  afterAll(() => nginx.end())
  return () => nginx.url
}

const variants: ReadonlyArray<readonly [string, Variant]> = [
  ["as docs/operating.md has it", {}],
  ["with HTTP/1.0", { location: (documented) => documented.replace("proxy_http_version 1.1;", "") }],
  [
    "with kept-alive connections",
    {
      location: (documented, upstream) =>
        `${documented.replace(upstream, "http://service").replace("}", 'proxy_set_header Connection "";}')}`,
      http: (upstream) => `upstream service { server ${upstream.slice("http://".length)}; keepalive 4; }`,
    },
  ],
]

/** Lets the agent send its message `n`. */
const step = (dir: string, n: number) => writeFileSync(join(dir, String(n)), "")

const saying = (n: number) => (events: ReadonlyArray<ServerEvent>) =>
  events.some(({ data }) => data.includes(`"${n} 😀 naïve`))
const has = (name: string) => (events: ReadonlyArray<ServerEvent>) =>
  events.some(({ event }) => event === name)

/** Lets the agent send all its messages, each after the one before has arrived at all streams. */
const oneByOne = async (dir: string, streams: ReadonlyArray<Opened>) => {
  for (let n = 0; n < STEPS; n++) {
    for (const { events } of streams) expect(saying(n)(events)).toBe(false)
    step(dir, n)
    for (const stream of streams) expect(await stream.until(saying(n))).toBe("held")
  }
  for (const stream of streams) {
    expect(await stream.ended).toBe("ended")
    expect(stream.events.at(-1)?.event).toBe("result")
  }
}

const stepsDir = () => mkdtempSync(join(dataDir(), "steps-"))

describe.each(variants)("nginx in front, %s", (_, variant) => {
  const url = behind(variant)

  it("passes on a run's events one by one, to its client and to a second reader", async () => {
    const dir = stepsDir()
    const body = { prompt: `STEP ${dir} ${STEPS}` }
    const begun = await openEvents(`${url()}/run`, { token, method: "POST", body })
    expect(begun.status).toBe(200)
    expect(await begun.until(has("run"))).toBe("held")
    const along = await openEvents(`${url()}/runs/${begun.headers.get("x-run-id")}/events`, { token })
    expect(await along.until(has("run"))).toBe("held")
    await oneByOne(dir, [begun, along])
    expect(along.events).toEqual(begun.events)
  })

  it("passes on a turn's events one by one", async () => {
    const dir = stepsDir()
    const { json } = await post(url(), "/sessions", token, { agent: "scripted" })
    const body = { prompt: `STEP ${dir} ${STEPS}` }
    const turn = await openEvents(`${url()}/sessions/${json.session_id}/turn`, {
      token,
      method: "POST",
      body,
    })
    expect(await turn.until(has("run"))).toBe("held")
    await oneByOne(dir, [turn])
  })

  it("passes on the log of events one by one", async () => {
    const stream = await openEvents(`${url()}/events/stream?type=run.completed`, { token })
    expect(stream.status).toBe(200)
    for (let n = 1; n <= STEPS; n++) {
      expect((await post(server.url, "/run", token, { prompt: "SAY hello" })).status).toBe(200)
      expect(await stream.until(({ length }) => length === n)).toBe("held")
    }
    stream.close()
  })
})

describe("nginx in front, as docs/operating.md has it", () => {
  const url = behind({})

  it("disconnects from the service when the client disconnects", async () => {
    const body = { prompt: "HOLD", on_disconnect: "cancel" }
    const stream = await openEvents(`${url()}/run`, { token, method: "POST", body })
    expect(await stream.until(has("run"))).toBe("held")
    stream.close()
    const run = stream.headers.get("x-run-id")
    await until(() => rows(`SELECT status FROM runs WHERE id = '${run}'`)[0].status === "cancelled")
  })

  it("lets a client tell a broken stream from a finished one", async () => {
    const dir = stepsDir()
    const body = { prompt: `STEP ${dir} 2` }
    const stream = await openEvents(`${url()}/run`, { token, method: "POST", body })
    step(dir, 0)
    expect(await stream.until(saying(0))).toBe("held")
    await server.end("SIGKILL")
    expect(await stream.ended).toBe("cut")
  })
})
