import { SqlClient } from "@effect/sql"
import { expect } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { Event, EventType } from "../../src/domain/Event.ts"
import { type EndStatus, RUN_STATES, RunStatus } from "../../src/domain/Run.ts"
import { OPERATOR } from "../../src/domain/Viewer.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { runEnd, origin, queuedAt } from "../support/LedgerRuns.ts"
import {
  app,
  describeLedgers,
  done,
  failed,
  fileOf,
  oneShot,
  opened,
  result,
  runId,
  sessionId,
  sessionOf,
  turn,
  uploadOf,
} from "../support/Ledgers.ts"

/** Each ledger moves runs as the state table says, and writes each type of event as its schema says. */

const statuses = RunStatus.literals
const isEnd = (status: RunStatus): status is EndStatus => status !== "queued" && status !== "running"

/** Accepts a run and moves it to that state. */
const runIn = (n: number, status: RunStatus) =>
  Effect.gen(function* () {
    const { runs } = yield* Ledger
    yield* runs.accept(oneShot(n), { at: 2000, startedAt: status === "queued" ? undefined : 2000 })
    if (isEnd(status)) yield* runs.end(runId(n), runEnd({ ...done, status }, 2001, result))
  })

const statusOf = (n: number) =>
  Effect.flatMap(Ledger, ({ runs }) =>
    Effect.map(runs.find(runId(n)), (run) => Option.getOrThrow(run).status),
  )

/** Returns the run's events, and the kinds of its stream's events. */
const recordsOf = (n: number) =>
  Effect.gen(function* () {
    const { events, streams } = yield* Ledger
    return {
      events: (yield* events.after(0, { viewer: OPERATOR, runId: runId(n) }, 100)).map(({ type }) => type),
      stream: (yield* streams.read(runId(n), 0)).map(({ kind }) => kind),
    }
  })

/** Causes an event of each type: of those whose data may differ, one with and one without the optional data. */
const everyEvent = Effect.gen(function* () {
  const { events, files, refusals, runs, sessions, tokens } = yield* Ledger
  yield* opened(1, 1500)
  yield* sessions.reserve(sessionOf(2, 1500, { model: null }), 9)
  yield* sessions.activate(sessionOf(2, 1500, { model: null }), "ref" as never)
  for (const n of [3, 4]) yield* opened(n, 1500)
  const ends = ["completed", "failed", "cancelled", "timed_out", "lost"] as const
  for (const [n, status] of ends.entries()) {
    yield* runs.accept(oneShot(10 + n), { at: 2000, startedAt: 2000 })
    yield* runs.end(runId(10 + n), runEnd({ ...failed, status }, 2001, result))
    yield* runs.accept(turn(20 + n, 1), { at: 2000, startedAt: 2000 })
    yield* runs.end(runId(20 + n), runEnd({ ...done, status }, 2001, result))
  }
  yield* runs.accept(oneShot(30), queuedAt(2000))
  yield* runs.loseUnfinished(2002)
  yield* sessions.close(sessionId(1), 4000, origin)
  yield* sessions.close(sessionId(2), 4000, null)
  yield* sessions.closeIdle(sessionId(3), 9000, 9000)
  yield* sessions.remove(sessionId(1), 9001)
  yield* files.insert(uploadOf(41, 7000))
  yield* files.remove([fileOf(41, 7000)], 7000)
  const refusal = { at: 5000, address: "10.0.0.1", requestId: "r", count: 2 }
  yield* refusals.append([
    { ...refusal, code: "unauthorized", reason: "bearer", tokenId: null },
    { ...refusal, code: "ip_not_allowed", reason: "token", tokenId: app.id },
  ])
  const nobody = { runId: null, sessionId: null, tokenId: null }
  yield* events.append({ type: "login.changed", at: 5001, ...nobody, data: { logged_in: true } })
  yield* tokens.revoke(app.name, 6000, origin)
})

const decode = Schema.decodeUnknown(Event, { onExcessProperty: "error" })

describeLedgers((contract) => {
  contract("moves a run from one state to another exactly if the state table allows it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Ledger
      const moves: Partial<Record<RunStatus, ReadonlyArray<RunStatus>>> = {}
      let n = 100
      for (const from of statuses) {
        const to: Array<RunStatus> = []
        // No function moves a run back to `queued`.
        for (const next of statuses.filter((status) => status !== "queued")) {
          yield* runIn((n += 1), from)
          const before = yield* recordsOf(n)
          yield* isEnd(next)
            ? runs.end(runId(n), runEnd({ ...done, status: next }, 3000, result))
            : runs.start(runId(n), 3000)
          const isMoved = RUN_STATES[from].next.includes(next)
          if (from !== next && (yield* statusOf(n)) === next) to.push(next)
          else expect(yield* statusOf(n), `${from} → ${next}`).toBe(from)
          const after = yield* recordsOf(n)
          expect(after, `${from} → ${next}`).toEqual({
            events: isMoved
              ? [...before.events, next === "running" ? "run.started" : `run.${next}`]
              : before.events,
            stream: isMoved && isEnd(next) ? [...before.stream, "result"] : before.stream,
          })
        }
        moves[from] = to
      }
      expect(moves).toEqual(Object.fromEntries(statuses.map((from) => [from, RUN_STATES[from].next])))
    }),
  )

  contract("writes each type of event with the data of its schema, and no other data", () =>
    Effect.gen(function* () {
      yield* everyEvent
      const { events } = yield* Ledger
      const all = yield* events.after(0, { viewer: OPERATOR }, 1000)
      expect([...new Set(all.map(({ type }) => type))].sort()).toEqual([...EventType.literals].sort())
      for (const event of all) expect(yield* decode(event)).toEqual(event)

      // A read drops what the schema does not have: the rows must not have it either.
      const database = yield* Effect.serviceOption(SqlClient.SqlClient)
      if (Option.isNone(database)) return
      const rows = yield* database.value<{ data: string }>`SELECT data FROM events ORDER BY seq`
      expect(rows.map(({ data }) => JSON.parse(data))).toEqual(all.map(({ data }) => data))
    }),
  )
})
