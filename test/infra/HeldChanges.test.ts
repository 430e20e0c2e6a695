import { join } from "node:path"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option, Queue, type Scope, TestClock } from "effect"
import { isEnd, type StreamEvent } from "../../src/domain/Stream.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { origin, queuedAt, runEnd } from "../support/LedgerRuns.ts"
import {
  APP,
  app,
  done,
  nextApp,
  oneShot,
  opened,
  other,
  result,
  runId,
  sessionId,
  sessionOf,
  turn,
} from "../support/Ledgers.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

/** The ledger on a database that is full: SQLite itself refuses to write (`SQLITE_FULL`). */

const onSqlite = <A, E>(test: Effect.Effect<A, E, Ledger | Scope.Scope | SqlClient.SqlClient>) =>
  Effect.gen(function* () {
    const file = join(yield* temporaryDirectory, "clawdforge.db")
    const layer = SqliteLedger.layer().pipe(
      Layer.provideMerge(Database.layer(file)),
      Layer.provide(Logger.remove(Logger.defaultLogger)),
    )
    return yield* Effect.provide(test, layer)
  }).pipe(Effect.scoped)

const setLimit = (pages: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(`PRAGMA max_page_count = ${pages}`))

/** Lets the file grow no more, and uses up the pages that it has. */
const fill = Effect.gen(function* () {
  yield* setLimit(1)
  const { events, streams } = yield* Ledger
  for (let size = 100_000; size > 1; size = Math.floor(size / 2)) {
    const message = { run: runId(11), at: 1, body: JSON.stringify("x".repeat(size)) }
    yield* Effect.ignore(Effect.forever(streams.append([message])))
  }
  const nobody = { runId: null, sessionId: null, tokenId: null }
  const event = { type: "login.changed", at: 1, ...nobody, data: { logged_in: true } } as const
  yield* Effect.ignore(Effect.forever(events.append(event)))
})
/** Lets the file grow again. */
const makeRoom = setLimit(1_000_000)

const codeOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null
    ? ((error as { code?: unknown }).code ?? codeOf((error as { cause?: unknown }).cause))
    : undefined

/** A run's whole stream, as its readers get it. */
const streamOf = (n: number) =>
  Effect.gen(function* () {
    const { streams } = yield* Ledger
    const all: Array<StreamEvent> = []
    for (;;) {
      const some = yield* streams.read(runId(n), all.at(-1)?.seq ?? 0)
      all.push(...some)
      const last = all.at(-1)
      if (some.length === 0 || last === undefined || isEnd(last)) return all
    }
  })

/** An app with a run that is at work and a session that is open, on a full disk. */
const scene = Effect.gen(function* () {
  const { tokens, runs } = yield* Ledger
  yield* tokens.insert(app, "hash 1", origin)
  yield* tokens.insert(other, "hash 2", origin)
  yield* opened(1, 1500)
  yield* runs.accept(oneShot(11), { at: 2000, startedAt: 2000 })
  yield* fill
})

describe("a ledger on a full disk", () => {
  it.effect("shows the end of a run to everybody, and writes it once when there is room", () =>
    onSqlite(
      Effect.gen(function* () {
        const { events, runs, streams, writable } = yield* Ledger
        yield* scene
        const refused = yield* Effect.flip(runs.accept(oneShot(12), queuedAt(2000)))
        expect([refused._tag, refused._tag === "StorageFailed" && codeOf(refused.cause)]).toEqual([
          "StorageFailed",
          "SQLITE_FULL",
        ])
        const changes = yield* events.changes
        const stored = yield* streamOf(11)
        const last = stored.at(-1)?.seq ?? Number.NaN
        const unstored = [{ run: runId(11), at: 2500, body: '"the rest"' }]
        yield* runs.end(runId(11), runEnd({ ...done, model: "another" }, 3000, result, { unstored }))

        const { model } = oneShot(11)
        const shown = { status: "completed", finishedAt: 3000, durationMs: 5, usage: done.usage, model }
        expect(Option.getOrThrow(yield* runs.find(runId(11)))).toMatchObject(shown)
        expect(yield* runs.page({ viewer: APP }, 10)).toMatchObject([shown])
        expect(yield* runs.page({ viewer: APP, status: "running" }, 10)).toEqual([])
        expect(yield* streams.end(runId(11))).toEqual(Option.some(result))
        expect([...(yield* Queue.takeAll(changes))]).toEqual([
          { events: false, runs: [runId(11)], sessions: [] },
        ])
        expect(yield* Effect.flip(writable)).toMatchObject({ _tag: "StorageFailed" })
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`SELECT status FROM runs`).toEqual([{ status: "running" }])
        // Neither has a number yet: who reconnects after the last that has one gets them again.
        expect(yield* streamOf(11)).toEqual([
          ...stored,
          { seq: last, kind: "message", body: '"the rest"' },
          { seq: last, ...result },
        ])

        yield* TestClock.adjust("10 seconds")
        yield* makeRoom
        yield* TestClock.adjust("1 second")
        yield* writable
        const written = yield* streamOf(11)
        expect(written.slice(0, stored.length)).toEqual(stored)
        expect(written.slice(stored.length).map(({ kind, body }) => ({ kind, body }))).toEqual([
          { kind: "message", body: '"the rest"' },
          result,
        ])
        expect(yield* sql`SELECT status FROM runs`).toEqual([{ status: "completed" }])
        expect(yield* sql`SELECT count(*) AS n FROM events WHERE type = 'run.completed'`).toEqual([{ n: 1 }])
      }),
    ),
  )

  it.effect("keeps a revoked token out, with whatever it asks for, and writes that when there is room", () =>
    onSqlite(
      Effect.gen(function* () {
        const { runs, sessions, tokens } = yield* Ledger
        yield* scene
        expect(yield* tokens.revoke(app.name, 4000, origin)).toBe(app.id)
        expect(yield* tokens.revoke(app.name, 4001, origin)).toBe("already_revoked")
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`SELECT count(*) AS n FROM tokens WHERE revoked_at IS NULL`).toEqual([{ n: 2 }])
        expect(yield* tokens.revoke("nobody" as TokenName, 4001, origin)).toBe("unknown")
        expect(yield* tokens.findByHash("hash 1")).toEqual(Option.none())
        expect((yield* tokens.list).map(({ revokedAt }) => revokedAt)).toEqual([4000, null])
        const refusals = yield* Effect.all([
          Effect.flip(runs.accept(oneShot(13), queuedAt(4002))),
          Effect.flip(runs.accept(turn(14, 1), queuedAt(4002))),
          Effect.flip(sessions.reserve(sessionOf(2, 4002), 10)),
        ])
        expect(refusals.map(({ _tag }) => _tag)).toEqual(["Unauthorized", "Unauthorized", "Unauthorized"])
        expect(yield* Effect.flip(tokens.insert(nextApp(4003), "hash 3", origin))).toMatchObject({
          _tag: "StorageFailed",
        })

        yield* makeRoom
        yield* tokens.insert(nextApp(4003), "hash 3", origin)
        expect(yield* sql`SELECT revoked_at FROM tokens WHERE name = 'app' ORDER BY id`).toEqual([
          { revokedAt: 4000 },
          { revokedAt: null },
        ])
        expect(yield* tokens.revoke(app.name, 4004, origin)).toBe(nextApp(0).id)
      }),
    ),
  )

  it.effect("keeps a session closed, and writes that when there is room", () =>
    onSqlite(
      Effect.gen(function* () {
        const { events, runs, sessions } = yield* Ledger
        yield* scene
        // Who follows the session sees its stream end.
        const changes = yield* events.changes
        expect(yield* sessions.close(sessionId(1), 4000, origin)).toBe(true)
        expect([...(yield* Queue.takeAll(changes))]).toEqual([
          { events: false, runs: [], sessions: [sessionId(1)] },
        ])
        expect(yield* sessions.close(sessionId(1), 4001, origin)).toBe(false)
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`SELECT status FROM sessions`).toEqual([{ status: "open" }])
        expect(yield* sessions.close(sessionId(9), 4001, origin)).toBe(false)
        expect(yield* sessions.closeIdle(sessionId(1), 9000, 9000)).toBe(false)
        expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
          status: "closed",
          closedAt: 4000,
        })
        expect(yield* sessions.list(app.id, { includeClosed: false })).toEqual([])
        expect(yield* sessions.list(app.id, { includeClosed: true })).toMatchObject([{ status: "closed" }])
        expect([yield* sessions.idle(9000), yield* sessions.liveAmong([sessionId(1)])]).toEqual([[], []])
        expect(yield* sessions.countOpen).toBe(0)
        expect(yield* Effect.flip(runs.accept(turn(14, 1), queuedAt(4002)))).toMatchObject({
          _tag: "SessionClosed",
        })

        yield* makeRoom
        yield* TestClock.adjust("1 second")
        expect(yield* sql`SELECT status, closed_at FROM sessions`).toEqual([
          { status: "closed", closedAt: 4000 },
        ])
        expect(yield* sql`SELECT count(*) AS n FROM events WHERE type = 'session.close'`).toEqual([{ n: 1 }])
      }),
    ),
  )
})
