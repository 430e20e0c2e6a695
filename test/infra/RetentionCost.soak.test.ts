import { statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import Sqlite from "better-sqlite3"
import { Effect, Fiber, Layer, Logger } from "effect"
import type { RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import { App, OPERATOR } from "../../src/domain/Viewer.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Retention } from "../../src/services/journal/Retention.ts"
import { expectWithin } from "../support/Pace.ts"
import { isSoak } from "../support/Scale.ts"
import { expectNoScan } from "../support/Statements.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

/** How long other work waits while retention removes rows. */

const APP = "0".repeat(26) as TokenId
const HOUR = 3_600_000
const DAY = 24 * HOUR
const MEBIBYTE = 1024 * 1024
/** Parts of the large file: each has 14 MiB of texts that are removed, and 1 MB of texts that stay. */
const PARTS = isSoak ? 10 : 4

const withRetention = <A, E>(
  file: string,
  use: Effect.Effect<A, E, Ledger | Retention | SqlClient.SqlClient>,
) =>
  use.pipe(
    Effect.provide(
      Retention.layer({
        streamRetentionSecs: 3600,
        eventRetentionDays: 14,
        eventMaxRows: 20_000,
        auditRetentionDays: 365,
      }).pipe(Layer.provideMerge(SqliteLedger.layer()), Layer.provideMerge(Database.layer(file))),
    ),
    Effect.provide(Logger.remove(Logger.defaultLogger)),
  )

/** Runs an effect on a ledger in a new file. */
const withNewLedger = <A, E>(
  use: (file: string) => Effect.Effect<A, E, Ledger | Retention | SqlClient.SqlClient>,
) =>
  Effect.scoped(
    Effect.flatMap(temporaryDirectory, (dir) => {
      const file = join(dir, "ledger.db")
      return withRetention(file, use(file))
    }),
  )

/** Inserts ended runs, each with `texts` rows of `bytes` bytes in its stream. Their text is due `dueIn` milliseconds from now. */
const fill = Effect.fn(function* (
  from: number,
  {
    runs,
    texts,
    bytes,
    age,
    dueIn,
  }: { runs: number; texts: number; bytes: number; age: number; dueIn: number },
) {
  const sql = yield* SqlClient.SqlClient
  const now = Date.now()
  yield* sql`
    WITH RECURSIVE numbers (n) AS (SELECT ${from} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ${from + runs})
    INSERT INTO runs
      (id, kind, token_id, status, created_at, finished_at, prompt_chars, request_id, address, text_until)
    SELECT format('%026d', n), 'run', ${APP}, 'completed', ${now - age}, ${now - age}, 1, 'r', '127.0.0.1',
      ${now + dueIn}
    FROM numbers`
  const [row] = yield* sql<{ seq: number }>`SELECT seq FROM sqlite_sequence WHERE name = 'events'`
  const first = (row?.seq ?? 0) + 1
  const last = first + runs * texts - 1
  yield* sql`
    WITH RECURSIVE numbers (n) AS (SELECT ${first} UNION ALL SELECT n + 1 FROM numbers WHERE n < ${last})
    INSERT INTO stream_events
    SELECT n, format('%026d', ${from} + (n - ${first}) / ${texts}), 'message', ${now - age}, ${bytes},
      hex(zeroblob(${bytes / 2}))
    FROM numbers`
  yield* sql`
    WITH RECURSIVE numbers (n) AS (SELECT ${last + 1} UNION ALL SELECT n + 1 FROM numbers WHERE n < ${last + runs})
    INSERT INTO events (seq, type, at, token_id, run_id, data)
    SELECT n, 'run.completed', ${now - age}, ${APP}, format('%026d', ${from} + n - ${last + 1}), '{}' FROM numbers`
})

const addApp = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`INSERT INTO tokens VALUES (${APP}, 'app', 'hash', '[]', 0, NULL, NULL)`,
)

/** Runs an effect. Returns its result, and how many milliseconds the slowest small query waited meanwhile. */
const longestWait = <A, E, R>(busy: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const waits: Array<number> = []
    const other = yield* Effect.gen(function* () {
      const before = performance.now()
      // A request first waits for the event loop, then for the connection.
      yield* Effect.sleep("1 millis")
      yield* sql`SELECT name FROM tokens WHERE id = ${APP}`
      waits.push(performance.now() - before)
    }).pipe(Effect.forever, Effect.fork)
    const before = performance.now()
    const result = yield* busy
    const took = performance.now() - before
    yield* Fiber.interrupt(other)
    return { result, took, longest: Math.max(...waits), waits: waits.length }
  })

describe("trimming a large ledger", () => {
  it.live("reads only rows that are due, and removes all of them", () =>
    withNewLedger(() =>
      Effect.gen(function* () {
        const { trim } = yield* Retention
        const sql = yield* SqlClient.SqlClient
        yield* addApp
        yield* fill(0, { runs: 500, texts: 2, bytes: 100, age: 400 * DAY, dueIn: HOUR })
        yield* fill(1000, { runs: 4000, texts: 5, bytes: 100, age: HOUR, dueIn: HOUR })
        yield* fill(9000, { runs: 500, texts: 2, bytes: 100, age: 2 * HOUR, dueIn: -HOUR })
        yield* sql`
              WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
              INSERT INTO idempotency_keys
              SELECT ${APP}, 'POST /run', 'key-' || n, 'f', '{}', NULL, iif(n <= 500, 0, ${Date.now()}) FROM numbers`
        const removed: Array<unknown> = []
        const statements = yield* expectNoScan(Effect.map(trim(), (counts) => removed.push(counts)))
        // The row cap removes the oldest of the rows that are neither too old nor due.
        expect(removed).toEqual([
          { texts: 1000, streamEvents: 1000 + 1000, events: 500, idempotencyKeys: 500 },
        ])
        for (const table of ["stream_events", "events", "idempotency_keys", "runs"]) {
          expect(statements.some((text) => new RegExp(`(DELETE FROM|UPDATE) ${table}`).test(text))).toBe(true)
        }
      }),
    ),
  )

  it.live("has an index for each filter of events and runs", () =>
    withNewLedger(() =>
      Effect.gen(function* () {
        const { events, runs } = yield* Ledger
        const app = { viewer: App({ tokenId: APP }) }
        const some = [{}, app]
        const runId = "0".repeat(26) as RunId
        const sessionId = "00000000-0000-4000-8000-000000000000" as SessionId
        const kinds = [{}, { type: "run.lost" as const }]
        const subjects = [{ runId }, { sessionId }, { runId, sessionId }]
        const filters = [app, { type: "run.lost" as const }, ...subjects].flatMap((filter) =>
          some.flatMap((viewer) =>
            kinds.map((kind) => Object.assign({ viewer: OPERATOR }, filter, viewer, kind)),
          ),
        )
        yield* expectNoScan(
          Effect.forEach(filters, (filter) =>
            Effect.zip(events.latest(filter, 50), events.after(7, filter, 50)),
          ),
        )
        yield* expectNoScan(events.summary(app.viewer))
        const pages = [
          app,
          { viewer: OPERATOR, status: "lost" as const },
          { ...app, status: "lost" as const },
        ]
        yield* expectNoScan(
          Effect.forEach(pages, (filter) => Effect.zip(runs.page(filter, 50), runs.page(filter, 50, runId))),
        )
      }),
    ),
  )

  it.live("finds a run's events by the index of the run, also with other filters", () =>
    withNewLedger(() =>
      Effect.gen(function* () {
        const { events } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        const runId = "0".repeat(26) as RunId
        const filter = { viewer: App({ tokenId: APP }), type: "run.lost" as const, runId }
        const [text = ""] = yield* expectNoScan(events.latest(filter, 50))
        const values = Array.from(text.matchAll(/\?/g), () => null)
        const plan = yield* sql.unsafe<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, values)
        expect(plan[0]?.detail).toContain("events_of_run (run_id=?")
      }),
    ),
  )
})

describe("giving space back", () => {
  it.live(`shrinks a file of ${15 * PARTS} MiB to its content, while other queries are answered`, () =>
    withNewLedger((file) =>
      Effect.gen(function* () {
        const { maintain, trim } = yield* Retention
        const sql = yield* SqlClient.SqlClient
        yield* addApp
        // Rows that are removed lie between rows that stay.
        for (let n = 0; n < PARTS; n++) {
          yield* fill(n * 100, { runs: 10, texts: 3, bytes: 480_000, age: 2 * HOUR, dueIn: -HOUR })
          yield* fill(n * 100 + 50, { runs: 10, texts: 20, bytes: 5000, age: HOUR, dueIn: HOUR })
        }
        yield* sql`PRAGMA wal_checkpoint(TRUNCATE)`
        expect(statSync(file).size).toBeGreaterThan(14 * PARTS * MEBIBYTE)

        const trimmed = yield* longestWait(trim())
        expect(trimmed.result.texts).toBe(30 * PARTS)
        const vacuumed = yield* longestWait(maintain({ vacuum: true }))
        const { before, after } = vacuumed.result
        console.log(
          `dropping ${14 * PARTS} MiB of texts took ${trimmed.took.toFixed()} ms, others waited ${trimmed.longest.toFixed()} ms at most; ` +
            `giving them back took ${vacuumed.took.toFixed()} ms, others waited ${vacuumed.longest.toFixed()} ms at most`,
        )
        expect(before.freeBytes).toBeGreaterThan(13 * PARTS * MEBIBYTE)
        expect([after.freeBytes, after.streamBytes]).toEqual([0, 200 * PARTS * 5000])
        expect(after.databaseBytes).toBeLessThan(2 * PARTS * MEBIBYTE)
        expect(statSync(file).size).toBe(after.databaseBytes)
        // Many small steps, with other queries in between. On an idle machine a step takes a few milliseconds.
        expect(vacuumed.waits).toBeGreaterThan(10)
        yield* Effect.promise(() => expectWithin(vacuumed.longest, Math.max(250, vacuumed.took / 2)))
        expect(yield* sql`PRAGMA integrity_check`).toEqual([{ integrityCheck: "ok" }])
      }),
    ),
  )

  it.live("is possible in an older file, which is rewritten for it once", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = join(yield* temporaryDirectory, "ledger.db")
        const old = new Sqlite(file)
        old.pragma("journal_mode = WAL")
        old.exec("CREATE TABLE mine (text TEXT)")
        old.prepare("INSERT INTO mine VALUES (?)").run("x".repeat(MEBIBYTE))
        old.exec("CREATE TABLE gone AS SELECT hex(zeroblob(4000000)) AS text; DROP TABLE gone")
        old.close()
        const before = statSync(file).size

        const life = withRetention(
          file,
          Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            expect(yield* sql`PRAGMA auto_vacuum`).toEqual([{ autoVacuum: 2 }])
            expect(yield* sql`SELECT length(text) AS chars FROM mine`).toEqual([{ chars: MEBIBYTE }])
            const free = yield* sql`PRAGMA freelist_count`
            yield* sql`CREATE TABLE gone AS SELECT hex(zeroblob(4000000)) AS text`
            yield* sql`DROP TABLE gone`
            return free
          }),
        )
        expect(yield* life).toEqual([{ freelistCount: 0 }])
        expect(statSync(file).size).not.toBe(before)
        // It is not rewritten again: maintenance gives the free pages back.
        expect(yield* life).not.toEqual([{ freelistCount: 0 }])
      }),
    ),
  )
})
