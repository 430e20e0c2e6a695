import { randomUUID } from "node:crypto"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber, Option } from "effect"
import { expectWithin, pace } from "../support/Pace.ts"
import { claudeProcesses, processesNamed } from "../support/ProcessTable.ts"
import {
  ADMIN_TOKEN,
  eventually,
  scriptedClaude,
  startServer,
  type TestServer,
} from "../support/TestServer.ts"

/**
 * What a run started is gone with the run, also what left its process group: a daemon, one that is deaf to SIGTERM,
 * and one whose parent is gone.
 */

/** Says something once it is told to, by a file in that directory. */
const WHEN_TOLD = (dir: string) => `STEP ${dir} 1`

/** A run that starts such processes, and when they are up does as `words` say; `end` sees to it that it ends. */
const withEscapees = (
  words: string | typeof WHEN_TOLD,
  end: (run: Run) => Effect.Effect<void>,
  leastTimeoutSecs?: number,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      // All of them must be up before the time is over.
      const timeoutSecs =
        leastTimeoutSecs === undefined
          ? undefined
          : Math.max(leastTimeoutSecs, Math.ceil(yield* Effect.promise(pace)))
      const payload = timeoutSecs === undefined ? {} : { timeout_secs: timeoutSecs }
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const name = `escapee-${randomUUID()}`
      const token = yield* server.mint("recipes")
      const steps = join(server.config.dataDir, "steps")
      const prompt = `ESCAPE ${name} ${typeof words === "string" ? words : words(steps)}`
      const answer = yield* Effect.fork(server.run(token, { prompt, ...payload }))
      const up = eventually(() => expect(processesNamed(`${name}-up`)).toHaveLength(3))
      const tell = Effect.sync(() => {
        mkdirSync(steps)
        writeFileSync(join(steps, "0"), "")
      })
      yield* end({ server, answer, up, tell, name, timeoutMillis: (timeoutSecs ?? 0) * 1000 })
      expect(processesNamed(name)).toEqual([])
      expect(claudeProcesses(server.config.runsDir)).toEqual([])
    }),
  )

interface Run {
  readonly server: TestServer
  readonly up: Effect.Effect<void>
  /** Has it say what it waits with. */
  readonly tell: Effect.Effect<void>
  readonly name: string
  /** Of a run that has a deadline. */
  readonly timeoutMillis: number
  readonly answer: Fiber.RuntimeFiber<Effect.Effect.Success<ReturnType<TestServer["run"]>>>
}

/** When the only run began, in milliseconds. */
const startedAt = ({ config }: TestServer): number => {
  const db = new Sqlite(config.dbPath, { readonly: true })
  const { at } = db.prepare("SELECT started_at AS at FROM runs").get() as { at: number }
  db.close()
  return at
}

describe.concurrent("none of the processes that left the group is left", () => {
  it.live("when the answer is there", () =>
    withEscapees("SAY done", ({ answer }) =>
      Effect.map(Fiber.join(answer), ({ json }) => expect(json.result).toBe("done")),
    ),
  )

  it.live("when the answer says that the time is over", () =>
    withEscapees(
      "HOLD",
      ({ answer, up, timeoutMillis }) =>
        Effect.gen(function* () {
          const { json } = yield* Effect.zipRight(up, Fiber.join(answer))
          expect(json.code).toBe("timeout")
          yield* Effect.promise(() => expectWithin(json.duration_ms - timeoutMillis, 4000 + 1500))
        }),
      10,
    ),
  )

  it.live("when the answer says that the executable failed", () =>
    withEscapees("KILL", ({ answer }) =>
      Effect.map(Fiber.join(answer), ({ json }) => expect(json.code).toBe("run_failed")),
    ),
  )

  it.live("when the client hung up and the run's directory is gone", () =>
    withEscapees("HOLD", ({ server, answer, up }) =>
      Effect.gen(function* () {
        yield* up
        yield* Fiber.interrupt(answer)
        yield* eventually(() => expect(readdirSync(server.config.runsDir)).toEqual([]))
      }),
    ),
  )

  it.live("when the time is over while they are being ended; the answer came before that, and stands", () =>
    withEscapees(
      WHEN_TOLD,
      ({ server, answer, up, tell, timeoutMillis }) =>
        Effect.gen(function* () {
          yield* up
          // The deaf one has 4 s, so it is ended after the deadline. The answer has 3.5 s to come before.
          yield* Effect.sleep(startedAt(server) + timeoutMillis - 3500 - Date.now())
          yield* tell
          const { json } = yield* Fiber.join(answer)
          expect(json.result).toMatch(/^0 /)
          expect(json.duration_ms).toBeLessThan(timeoutMillis)
          expect(Date.now() - startedAt(server)).toBeGreaterThan(timeoutMillis)
        }),
      12,
    ),
  )

  it.live("when the client hung up while they were being ended", () =>
    withEscapees(WHEN_TOLD, ({ server, answer, up, tell, name }) =>
      Effect.gen(function* () {
        yield* Effect.zipRight(up, tell)
        // The deaf one is left alone for its grace.
        yield* eventually(() => expect(processesNamed(`${name}-up`)).toHaveLength(1))
        yield* Fiber.interrupt(answer)
        yield* eventually(() => expect(readdirSync(server.config.runsDir)).toEqual([]))
      }),
    ),
  )

  it.live("when the token was revoked and the run has its answer", () =>
    withEscapees("HOLD", ({ server, answer, up }) =>
      Effect.gen(function* () {
        yield* up
        yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
        expect((yield* Fiber.join(answer)).status).toBe(401)
      }),
    ),
  )
})
