import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber, Option } from "effect"
import { scale } from "../support/Scale.ts"
import { eventually, scriptedClaude, startServer, type TestServer } from "../support/TestServer.ts"

/** Two apps at once, on real processes. The ledger's events tell in which order things happened. */

interface Happened {
  readonly type: string
  readonly app: string
  readonly run_id: string
}

const events = (server: TestServer): ReadonlyArray<Happened> => {
  const db = new Sqlite(server.config.dbPath, { readonly: true })
  const rows = db.prepare(
    "SELECT e.type, t.name AS app, e.run_id FROM events e JOIN tokens t ON t.id = e.token_id WHERE e.run_id IS NOT NULL ORDER BY e.seq",
  )
  const happened = rows.all() as ReadonlyArray<Happened>
  db.close()
  return happened
}

const SLOTS = 4
const RUNS = scale.fairRuns

const withTwoApps = <A>(test: (server: TestServer, left: string, right: string) => Effect.Effect<A>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({
        claudeBin: Option.some(scriptedClaude),
        maxConcurrentRuns: SLOTS,
        // The test is about the order, not about how long a busy machine takes.
        maxQueueWaitSecs: 300,
        defaultTimeoutSecs: 120,
      })
      return yield* test(server, yield* server.mint("left"), yield* server.mint("right"))
    }),
  )

/**
 * By how many starts one app got ahead of the other, at the most, while both had runs that waited. Counted anew each
 * time that one of them has none: it cannot be served then.
 */
const lead = (happened: ReadonlyArray<Happened>): number => {
  const waiting: Record<string, number> = { left: 0, right: 0 }
  let ahead = 0
  let most = 0
  for (const { type, app } of happened) {
    if (type === "run.queued") waiting[app] = (waiting[app] ?? 0) + 1
    if (type !== "run.started") continue
    const both = Object.values(waiting).every((runs) => runs > 0)
    ahead = both ? ahead + (app === "left" ? 1 : -1) : 0
    most = Math.max(most, Math.abs(ahead))
    waiting[app] = (waiting[app] ?? 0) - 1
  }
  return most
}

describe("runs of two apps", () => {
  it.live(
    `${RUNS} at once: each is answered once and recorded once, and neither app gets ahead of the other`,
    () =>
      withTwoApps((server, left, right) =>
        Effect.gen(function* () {
          const answers = yield* Effect.all(
            Array.from({ length: RUNS }, (_, n) =>
              server.run(n < RUNS / 2 ? left : right, { prompt: `SAY run ${n}` }),
            ),
            { concurrency: "unbounded" },
          )
          expect(answers.map(({ status, json }) => [status, json.result])).toEqual(
            Array.from({ length: RUNS }, (_, n) => [200, `run ${n}`]),
          )
          const happened = events(server)
          const ids = answers.map(({ headers }) => headers.get("x-run-id")).toSorted()
          expect(new Set(ids).size).toBe(RUNS)
          for (const type of ["run.queued", "run.started", "run.completed"]) {
            const told = happened.filter((event) => event.type === type).map(({ run_id }) => run_id)
            expect(told.toSorted()).toEqual(ids)
          }
          expect(happened).toHaveLength(3 * RUNS)
          expect(lead(happened)).toBeLessThanOrEqual(SLOTS)
        }),
      ),
    300_000,
  )

  it.live("one of which has a hundred: the other's only one gets the next slot that is free", () =>
    withTwoApps((server, left, right) =>
      Effect.gen(function* () {
        const told = (of: string, runs: number) =>
          eventually(() => expect(events(server).filter(({ type }) => type === of)).toHaveLength(runs))
        const holding = yield* Effect.fork(server.run(left, { prompt: "HOLD" }))
        const held = yield* Effect.forkAll(
          Array.from({ length: SLOTS - 1 }, () => server.run(left, { prompt: "HOLD" })),
        )
        yield* told("run.started", SLOTS)
        const others = yield* Effect.forkAll(
          Array.from({ length: 100 - SLOTS }, () => server.run(left, { prompt: "SAY x" })),
        )
        yield* told("run.queued", 100)
        const late = yield* Effect.fork(server.run(right, { prompt: "SAY here" }))
        yield* told("run.queued", 101)
        yield* Fiber.interrupt(holding)
        expect((yield* Fiber.join(late)).json.result).toBe("here")
        for (const fibers of [held, others]) yield* Fiber.interrupt(fibers)
        const happened = events(server)
        const arrival = happened.findIndex(({ app }) => app === "right")
        const next = happened.slice(arrival).find(({ type }) => type === "run.started")
        expect(next?.app).toBe("right")
      }),
    ),
  )
})
