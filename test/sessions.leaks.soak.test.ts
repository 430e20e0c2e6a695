import { readdirSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Supervisor } from "effect"
import { processesOf } from "./support/ProcessTable.ts"
import { scale } from "./support/Scale.ts"
import { backends, type ScriptedServer, scriptedServer, type SessionApp } from "./support/Sessions.ts"
import { eventually } from "./support/TestServer.ts"

/** Many sessions leave nothing: no process, no directory, no descriptor, no handle, no memory. */

const SESSIONS = scale.sessions
const FIRST = Math.round(0.3 * SESSIONS)
const AT_ONCE = 16
const MEBIBYTE = 1024 * 1024

setFlagsFromString("--expose-gc")
const gc = runInNewContext("gc") as () => void

const heap = (): number => {
  gc()
  gc()
  return process.memoryUsage().heapUsed
}

/** What this process holds of the machine. Both ends of a connection of a client are in this process. */
const held = () => {
  const connections = active("TCPSocketWrap")
  return {
    connections,
    descriptors: readdirSync("/proc/self/fd").length - connections,
    timers: active("Timeout"),
  }
}

const active = (kind: string): number =>
  process.getActiveResourcesInfo().filter((other) => other === kind).length

const use = (app: SessionApp, n: number) =>
  Effect.gen(function* () {
    const session = yield* app.opened()
    expect(yield* app.say(session, `SAY ${n}`)).toBe(`${n}`)
    expect((yield* app.close(session)).json.already_closed).toBe(false)
  })

const useMany = (app: SessionApp, from: number, to: number) =>
  Effect.forEach(
    Array.from({ length: to - from }, (_, n) => from + n),
    (n) => use(app, n),
    { concurrency: AT_ONCE, discard: true },
  )

/** Every process has ended, and this one has been told: neither comes with the answer, nor at once with the other. */
const quiet = (server: ScriptedServer) =>
  eventually(() => {
    expect(processesOf(server.dir)).toEqual([])
    expect(active("ProcessWrap")).toBe(0)
    expect(readdirSync(server.config.runsDir)).toEqual([])
  })

describe.each(backends)(`${SESSIONS} sessions by way of %s`, (agentBackend) => {
  it.live("opened, used and closed leave nothing", () =>
    Effect.gen(function* () {
      const fibers = yield* Supervisor.track
      const { before, after, growth } = yield* Effect.gen(function* () {
        const server = yield* scriptedServer({ agentBackend, agentIdleSecs: 1 })
        const app = yield* server.app("recipes")
        yield* useMany(app, 0, AT_ONCE)
        yield* quiet(server)
        const before = { ...held(), fibers: (yield* fibers.value).length }
        yield* useMany(app, AT_ONCE, FIRST)
        yield* quiet(server)
        const early = heap()
        yield* useMany(app, FIRST, SESSIONS)
        yield* quiet(server)
        const late = heap()
        const after = { ...held(), fibers: (yield* fibers.value).length }
        expect(readdirSync(server.config.sessionsDir)).toEqual([])
        expect((yield* server.request("GET", "/healthz")).json.open_sessions).toBe(0)
        return { before, after, growth: late - early }
      }).pipe(Effect.scoped, Effect.supervised(fibers))
      // Connections are kept for 75 s; a timer may be about to end.
      for (const [what, most] of [
        ["connections", 2 * AT_ONCE],
        ["descriptors", AT_ONCE],
        ["timers", AT_ONCE],
        ["fibers", AT_ONCE],
      ] as const) {
        expect(after[what] - before[what], what).toBeLessThanOrEqual(most)
      }
      expect(growth).toBeLessThan(4 * MEBIBYTE)
    }),
  )
})
