import { randomUUID } from "node:crypto"
import { readdirSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
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

/** A run that starts such processes, and when they are up does as `words` say; `end` sees to it that it ends. */
const withEscapees = (
  words: string,
  end: (run: Run) => Effect.Effect<void>,
  payload: { readonly timeout_secs?: number } = {},
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const name = `escapee-${randomUUID()}`
      const token = yield* server.mint("recipes")
      const answer = yield* Effect.fork(server.run(token, { prompt: `ESCAPE ${name} ${words}`, ...payload }))
      const up = eventually(() => expect(processesNamed(`${name}-up`)).toHaveLength(3))
      yield* end({ server, answer, up, name })
      expect(processesNamed(name)).toEqual([])
      expect(claudeProcesses(server.config.runsDir)).toEqual([])
    }),
  )

interface Run {
  readonly server: TestServer
  readonly up: Effect.Effect<void>
  readonly name: string
  readonly answer: Fiber.RuntimeFiber<Effect.Effect.Success<ReturnType<TestServer["run"]>>>
}

describe("none of the processes that left the group is left", () => {
  it.live("when the answer is there", () =>
    withEscapees("SAY done", ({ answer }) =>
      Effect.map(Fiber.join(answer), ({ json }) => expect(json.result).toBe("done")),
    ),
  )

  it.live("when the answer says that the time is over", () =>
    withEscapees(
      "HOLD",
      ({ answer, up }) =>
        Effect.map(Effect.zipRight(up, Fiber.join(answer)), ({ json }) => {
          expect(json.code).toBe("timeout")
          expect(json.duration_ms).toBeLessThan(3000 + 4000 + 1500)
        }),
      { timeout_secs: 3 },
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
      "SAY done",
      ({ answer }) =>
        Effect.map(Fiber.join(answer), ({ json }) => {
          expect(json.result).toBe("done")
          expect(json.duration_ms).toBeLessThan(4000)
        }),
      { timeout_secs: 4 },
    ),
  )

  it.live("when the client hung up while they were being ended", () =>
    withEscapees("SAY done", ({ server, answer, name }) =>
      Effect.gen(function* () {
        // The deaf one is left alone for its grace.
        yield* eventually(() => expect(processesNamed(`${name}-up`)).toHaveLength(1))
        yield* Effect.sleep("1 second")
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
