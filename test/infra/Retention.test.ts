import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Logger, Option, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import type { RunId, TokenId } from "../../src/domain/Ids.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { App, OPERATOR } from "../../src/domain/Viewer.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Retention } from "../../src/services/journal/Retention.ts"
import { runEnd, oneShotSpec, queuedAt } from "../support/LedgerRuns.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

/** Retention in a real database: what is removed, and when. */

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Late enough that years before it are after 1970. */
const NOW = 1000 * DAY
const MINUTE = 60_000

const origin = { requestId: "r", address: "127.0.0.1" }
const app: AppToken = {
  id: "0".repeat(26) as TokenId,
  name: "recipes" as TokenName,
  ipCidrs: [],
  createdAt: NOW - 900 * DAY,
  lastUsedAt: null,
  revokedAt: null,
}
const runId = (n: number) => String(n).padStart(26, "0") as RunId
const done = {
  status: "completed" as const,
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage: null,
  costUsd: null,
}

const KEPT = {
  streamRetentionSecs: 3600,
  eventRetentionDays: 14,
  eventMaxRows: 1000,
  auditRetentionDays: 1000,
}

const withRetention = <A, E>(
  test: Effect.Effect<A, E, Ledger | Retention | SqlClient.SqlClient>,
  settings: Partial<typeof KEPT> = {},
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "ledger.db")
      yield* TestClock.setTime(NOW)
      const kept = { ...KEPT, ...settings }
      return yield* Effect.gen(function* () {
        const { tokens } = yield* Ledger
        yield* tokens.insert(app, "hash", origin)
        return yield* test
      }).pipe(
        Effect.provide(
          Retention.layer(kept).pipe(
            Layer.provideMerge(SqliteLedger.layer(kept)),
            Layer.provideMerge(Database.layer(file)),
          ),
        ),
      )
    }),
  ).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))

interface Story {
  readonly at: number
  readonly messages?: number
  /** By default the run ends at `at`. */
  readonly endsAt?: number | "never"
  readonly key?: string
}

/** Records a run with its messages and its end. Returns its id. */
const run = Effect.fn(function* (n: number, { at, messages = 3, endsAt = at, key }: Story) {
  const { runs, streams } = yield* Ledger
  const id = runId(n)
  const from = key === undefined ? {} : { idempotencyKey: { route: "POST /run", key, fingerprint: "f" } }
  yield* runs.accept(oneShotSpec(id, app.id, { origin: { ...origin, ...from } }), queuedAt(at))
  yield* runs.start(id, at)
  yield* streams.append(Array.from({ length: messages }, (_, m) => ({ run: id, at, body: `"${n}.${m}"` })))
  if (endsAt !== "never") yield* runs.end(id, runEnd(done, endsAt, { kind: "result", body: '"the end"' }))
  return id
})

const trim = Effect.flatMap(Retention, (retention) => retention.trim())
const nothing = { texts: 0, streamEvents: 0, events: 0, idempotencyKeys: 0 }

/** Returns what is left of a run's stream: its rows, the rows that have their text, and the gap before them. */
const leftOf = Effect.fn(function* (id: RunId) {
  const sql = yield* SqlClient.SqlClient
  const { streams } = yield* Ledger
  const [left] = yield* sql<{ rows: number; texts: number; first: number | null }>`
    SELECT count(*) AS rows, count(body) AS texts, min(seq) AS first FROM stream_events WHERE run_id = ${id}`
  const gap = yield* streams.gap(id, 0)
  return {
    rows: left?.rows,
    texts: left?.texts,
    gap: Option.isSome(gap),
    oldest: Option.getOrNull(gap)?.oldest,
  }
})

/** Expects that the counters, which triggers keep, equal the counted rows. */
const expectTotals = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { retention } = yield* Ledger
  const sizes = yield* retention.sizes
  const [counted] = yield* sql`
    SELECT count(*) AS streamRows, coalesce(sum(length(CAST(body AS BLOB))), 0) AS streamBytes,
      (SELECT count(*) FROM events) AS events FROM stream_events`
  expect(sizes).toMatchObject(counted ?? {})
})

describe("the text of a run", () => {
  it.effect("is removed when its time is over, and its rows stay", () =>
    withRetention(
      Effect.gen(function* () {
        const { streams, runs } = yield* Ledger
        const old = yield* run(1, { at: NOW - HOUR })
        const young = yield* run(2, { at: NOW - HOUR + 1000 })
        const open = yield* run(3, { at: NOW - 5 * HOUR, endsAt: "never" })
        expect(yield* trim).toEqual({ ...nothing, texts: 5 })
        expect(yield* leftOf(old)).toEqual({ rows: 5, texts: 0, gap: true, oldest: null })
        expect(yield* leftOf(young)).toEqual({ rows: 5, texts: 5, gap: false, oldest: undefined })
        expect(yield* leftOf(open)).toEqual({ rows: 4, texts: 4, gap: false, oldest: undefined })
        expect(yield* streams.read(old, 0)).toEqual([])
        expect(yield* streams.bytesAfter(old, 0)).toBe(0)
        expect(yield* streams.end(old)).toEqual(Option.none())
        expect(Option.isSome(yield* runs.find(old))).toBe(true)
        yield* expectTotals
        // The rows without text are not visited again.
        expect(yield* trim).toEqual(nothing)
        yield* TestClock.adjust("1 seconds")
        expect(yield* trim).toEqual({ ...nothing, texts: 5 })
      }),
    ),
  )

  it.effect("is kept for a day if an idempotency key names the run", () =>
    withRetention(
      Effect.gen(function* () {
        const { keys } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        const named = yield* run(1, { at: NOW - DAY + 1000, key: "k" })
        expect(yield* trim).toEqual(nothing)
        const claim = { route: "POST /run", key: "k" }
        expect(Option.isSome(yield* keys.find(app.id, claim, NOW))).toBe(true)
        yield* TestClock.adjust("1 seconds")
        expect(yield* trim).toEqual({ ...nothing, texts: 5, idempotencyKeys: 1 })
        expect(yield* sql`SELECT key FROM idempotency_keys`).toEqual([])
        expect((yield* leftOf(named)).texts).toBe(0)
      }),
    ),
  )

  it.effect("is removed from its beginning on, in small steps", () =>
    withRetention(
      Effect.gen(function* () {
        const { retention, streams } = yield* Ledger
        const long = yield* run(1, { at: NOW - HOUR, messages: 1000 })
        const all = yield* streams.bytesAfter(long, 0)
        const one = yield* retention.dropTexts(NOW)
        expect(one.done).toBe(false)
        expect(one.removed).toBeLessThan(1002)
        const left = yield* leftOf(long)
        expect([left.rows, left.texts, left.gap]).toEqual([1002, 1002 - one.removed, true])
        // The stream begins where the gap ends.
        const gap = Option.getOrThrow(yield* streams.gap(long, 0))
        const [next] = yield* streams.read(long, gap.seq)
        expect([next?.seq, next?.body]).toEqual([gap.oldest, `"1.${one.removed - 1}"`])
        expect(yield* streams.bytesAfter(long, 0)).toBeLessThan(all)
        expect((yield* trim).texts).toBe(1002 - one.removed)
        yield* expectTotals
      }),
    ),
  )

  it.effect("is removed for some runs at a time, in the order in which their time is over", () =>
    withRetention(
      Effect.gen(function* () {
        const { retention } = yield* Ledger
        for (let n = 1; n <= 100; n++) yield* run(n, { at: NOW - HOUR - n * 1000 })
        const { removed, done: isDone } = yield* retention.dropTexts(NOW)
        expect([removed < 500, isDone]).toEqual([true, false])
        expect((yield* leftOf(runId(100))).texts).toBe(0)
        expect((yield* leftOf(runId(1))).texts).toBe(5)
        expect(yield* trim).toEqual({ ...nothing, texts: 500 - removed })
        expect(yield* retention.dropTexts(NOW)).toEqual({ removed: 0, done: true })
      }),
    ),
  )
})

describe("rows of streams", () => {
  it.effect("are removed when they are too old, unless their run is unfinished", () =>
    withRetention(
      Effect.gen(function* () {
        const old = yield* run(1, { at: NOW - 14 * DAY - 1 })
        const open = yield* run(2, { at: NOW - 20 * DAY, endsAt: "never" })
        const young = yield* run(3, { at: NOW - 14 * DAY })
        const justOver = yield* run(4, { at: NOW - 20 * DAY, endsAt: NOW - MINUTE + 1 })
        expect((yield* trim).streamEvents).toBe(5)
        expect(yield* leftOf(old)).toEqual({ rows: 0, texts: 0, gap: true, oldest: null })
        expect((yield* leftOf(open)).rows).toBe(4)
        expect((yield* leftOf(justOver)).rows).toBe(5)
        expect((yield* leftOf(young)).rows).toBe(5)
        yield* expectTotals
        yield* TestClock.adjust("1 seconds")
        expect((yield* trim).streamEvents).toBe(5 + 4)
        // The row of its end is younger.
        expect((yield* leftOf(justOver)).rows).toBe(1)
      }),
    ),
  )

  it.effect("are removed when there are too many, the oldest first, and leave a gap", () =>
    withRetention(
      Effect.gen(function* () {
        const { streams } = yield* Ledger
        const ids = yield* Effect.forEach([1, 2, 3, 4], (n) =>
          run(n, { at: NOW - 2 * MINUTE, messages: 398 }),
        )
        expect((yield* trim).streamEvents).toBe(600)
        const left = yield* Effect.forEach(ids, leftOf)
        expect(left.map(({ rows, gap }) => [rows, gap])).toEqual([
          [0, true],
          [200, true],
          [400, false],
          [400, false],
        ])
        const [next] = yield* streams.read(runId(2), Option.getOrThrow(yield* streams.gap(runId(2), 0)).seq)
        expect([next?.seq, next?.body]).toEqual([left[1]?.oldest, '"2.199"'])
        expect(yield* trim).toEqual(nothing)
        yield* expectTotals
      }),
    ),
  )

  it.effect("stay when there are too many if the run is unfinished, just ended or named by a key", () =>
    withRetention(
      Effect.gen(function* () {
        const spared = [
          yield* run(1, { at: NOW - 2 * MINUTE, endsAt: "never", messages: 700 }),
          yield* run(2, { at: NOW - 2 * MINUTE, endsAt: NOW - MINUTE + 1, messages: 700 }),
          yield* run(3, { at: NOW - 2 * MINUTE, key: "k", messages: 700 }),
        ]
        const other = yield* run(4, { at: NOW - 2 * MINUTE, messages: 700 })
        expect((yield* trim).streamEvents).toBe(702)
        expect((yield* Effect.forEach(spared, leftOf)).map(({ rows, gap }) => [rows, gap])).toEqual([
          [701, false],
          [702, false],
          [702, false],
        ])
        expect((yield* leftOf(other)).rows).toBe(0)
      }),
    ),
  )

  it.effect("are counted apart from events: many rows displace no event", () =>
    withRetention(
      Effect.gen(function* () {
        const { events } = yield* Ledger
        for (let n = 1; n <= 20; n++) yield* run(n, { at: NOW - 2 * MINUTE, messages: 200 })
        const before = yield* events.summary(OPERATOR)
        expect((yield* trim).streamEvents).toBe(20 * 202 - 1000)
        expect(yield* events.summary(OPERATOR)).toEqual(before)
      }),
    ),
  )
})

describe("events", () => {
  it.effect("are removed when they are too old, and the log has the place up to which they are", () =>
    withRetention(
      Effect.gen(function* () {
        const { events } = yield* Ledger
        // The token's event is the oldest.
        for (let n = 1; n <= 300; n++) yield* run(n, { at: NOW - 366 * DAY, messages: 0 })
        yield* run(301, { at: NOW - 364 * DAY, messages: 0 })
        const all = yield* events.after(0, { viewer: OPERATOR }, 2000)
        expect(all.length).toBe(1 + 301 * 3)
        const removed = yield* trim
        expect([removed.events, removed.streamEvents]).toEqual([1 + 900, 602])
        const left = yield* events.after(0, { viewer: OPERATOR }, 2000)
        expect(left.map(({ runId: id }) => id)).toEqual([runId(301), runId(301), runId(301)])
        expect(yield* events.trimmedTo).toBe(all[900]?.seq)
        expect((yield* events.summary(App({ tokenId: app.id }))).counts).toEqual(
          new Map([
            ["run.completed", 1],
            ["run.queued", 1],
            ["run.started", 1],
          ]),
        )
        yield* expectTotals
        // A place is not given twice.
        yield* TestClock.adjust("400 days")
        expect((yield* trim).events).toBe(3)
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`SELECT * FROM event_counts`).toEqual([])
        yield* run(302, { at: NOW + 400 * DAY, messages: 0 })
        const [first] = yield* events.after(0, { viewer: OPERATOR }, 1)
        expect(first?.seq).toBeGreaterThan(all.at(-1)?.seq ?? 0)
      }),
      { auditRetentionDays: 365 },
    ),
  )
})

describe("trimming", () => {
  it.effect("stops when its time is over, and continues with the next call", () =>
    withRetention(
      Effect.gen(function* () {
        for (let n = 1; n <= 100; n++) yield* run(n, { at: NOW - HOUR })
        const { trim: trimFor } = yield* Retention
        const some = yield* trimFor({ forMillis: 0 })
        expect(some.texts).toBeGreaterThan(0)
        expect(some.texts).toBeLessThan(500)
        expect((yield* trim).texts).toBe(500 - some.texts)
      }),
    ),
  )

  it.effect("fails with StorageFailed when a statement fails", () =>
    withRetention(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`DROP TABLE idempotency_keys`
        expect(yield* Effect.flip(trim)).toBeInstanceOf(StorageFailed)
      }),
    ),
  )

  it.effect("returns the sizes before and after", () =>
    withRetention(
      Effect.gen(function* () {
        const { maintain } = yield* Retention
        yield* run(1, { at: NOW - 20 * DAY, messages: 100 })
        yield* run(2, { at: NOW - HOUR, messages: 100 })
        const { removed, before, after } = yield* maintain({ vacuum: true })
        expect(removed).toEqual({ ...nothing, texts: 204, streamEvents: 102 })
        expect([before.streamRows, after.streamRows, after.streamBytes]).toEqual([204, 102, 0])
        expect([before.events, after.events, after.freeBytes]).toEqual([7, 7, 0])
      }),
    ),
  )
})
