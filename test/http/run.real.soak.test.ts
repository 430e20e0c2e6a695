import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber } from "effect"
import { scale } from "../support/Scale.ts"
import { realClaude } from "../support/RealClaude.ts"
import { eventually, startServer, type TestServer } from "../support/TestServer.ts"

/** `POST /run` many times at once, on the real `claude`, whose provider is a local stand-in of the Messages API. */

const RUNS = scale.realRuns

const real = realClaude()

/** A server with an app's token, at work on the real executable. */
const withApp = <A>(
  test: (ask: (payload: object) => ReturnType<TestServer["run"]>, server: TestServer) => Effect.Effect<A>,
  overrides: Parameters<typeof startServer>[0],
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer(overrides)
      const token = yield* server.mint("recipes")
      return yield* test((payload) => server.run(token, payload), server)
    }),
  )

describe("many at once", () => {
  it.live(`${RUNS} runs with 4 slots: four at work and never more, all answered`, () =>
    withApp(
      (ask, { config }) => {
        const queued = () => {
          const db = new Sqlite(config.dbPath, { readonly: true })
          const rows = db.prepare("SELECT id FROM runs WHERE status = 'queued'").all()
          db.close()
          return rows
        }
        const atOnce = (prompts: ReadonlyArray<string>) =>
          Effect.all(
            prompts.map((prompt) => ask({ prompt })),
            { concurrency: "unbounded" },
          )
        return Effect.gen(function* () {
          const first = yield* Effect.fork(atOnce([0, 1, 2, 3].map((n) => `HELD SAY ${n}`)))
          yield* eventually(() => expect(real.api.open).toBe(4))
          const others = yield* Effect.fork(
            atOnce(Array.from({ length: RUNS - 4 }, (_, n) => `SAY ${n + 4}`)),
          )
          yield* eventually(() => expect(queued()).toHaveLength(RUNS - 4))
          real.api.release()
          const answers = [...(yield* Fiber.join(first)), ...(yield* Fiber.join(others))]
          expect(answers.map(({ json }) => json.result)).toEqual(Array.from({ length: RUNS }, (_, n) => n))
          expect(real.api.peak).toBe(4)
        })
      },
      { maxConcurrentRuns: 4, maxQueueWaitSecs: 300 },
    ),
  )
})
