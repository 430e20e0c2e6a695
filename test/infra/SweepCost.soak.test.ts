import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Clock, Effect, Layer, TestClock } from "effect"
import type { SessionId } from "../../src/domain/Ids.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Files } from "../../src/services/files/Files.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Retention } from "../../src/services/journal/Retention.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import { Sweeper } from "../../src/services/upkeep/Sweeper.ts"
import * as Mock from "../../src/testing.ts"
import { expectWithin } from "../support/Pace.ts"
import { isSoak } from "../support/Scale.ts"
import { expectNoScan } from "../support/Statements.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const APP = "0".repeat(26)
const DAY = 86_400_000
const NOW = 100 * DAY
const MANY = isSoak ? 100_000 : 10_000

/** A session pool that changes the ledger only. */
const bookkeeper = Layer.unwrapEffect(
  Effect.map(Ledger, ({ sessions }) =>
    Layer.mock(SessionPool, {
      closeIdle: ({ id }, since) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => sessions.closeIdle(id, since, now)),
      erase: (id) => Effect.flatMap(Clock.currentTimeMillis, (now) => sessions.remove(id, now)),
    }),
  ),
)

/** Inserts sessions with two turns each. Most were closed just now; five are idle, and five were closed long ago. */
const fill = Effect.fn(function* (sessions: number, firstId: number) {
  const sql = yield* SqlClient.SqlClient
  const isOpen = sql`(n <= 5 OR n > ${sessions * 0.99})`
  yield* sql`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${sessions})
    INSERT INTO sessions
      (id, token_id, agent, permission_mode, status, ref, created_at, last_turn_at, closed_at, request_id, address)
    SELECT format('00000000-0000-4000-8000-%012d', ${firstId} + n), ${APP}, 'claude', 'approve-all',
      iif(${isOpen}, 'open', 'closed'), 'ref', 0, ${NOW} - iif(n <= 5, ${DAY}, 1000),
      iif(${isOpen}, NULL, iif(n <= 10, n, ${NOW - DAY / 2} + n)), 'r', '127.0.0.1'
    FROM numbers`
  yield* sql`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${sessions * 2})
    INSERT INTO runs
      (id, kind, token_id, session_id, turn_index, status, created_at, prompt_chars, request_id, address)
    SELECT format('%026d', ${firstId} * 2 + n), 'turn', ${APP},
      format('00000000-0000-4000-8000-%012d', ${firstId} + (n + 1) / 2), n % 2 + 1,
      iif(n > ${sessions * 1.999}, 'running', 'completed'), 0, 1, 'r', '127.0.0.1'
    FROM numbers`
  yield* sql`PRAGMA wal_checkpoint(TRUNCATE)`
})

describe("a sweep of a large ledger", () => {
  it.effect("reads only sessions that are due", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryDirectory, "ledger.db")
      yield* TestClock.setTime(NOW)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { sweep } = yield* Sweeper
        yield* sql`INSERT INTO tokens VALUES (${APP}, 'app', 'hash', '[]', 0, NULL, NULL)`
        /** Adds sessions, then sweeps. Returns how many milliseconds the sweep took. */
        const timed = Effect.fn(function* (sessions: number, firstId: number) {
          yield* fill(sessions, firstId)
          const before = performance.now()
          expect(yield* sweep).toMatchObject({ closed: 5, deleted: 5, failed: 0 })
          return performance.now() - before
        })
        const few = yield* timed(1000, 0)
        const many = yield* timed(MANY, 1000)
        console.log(
          `a sweep with 10 sessions due of 1,000: ${few.toFixed(1)} ms; of ${MANY + 1000}: ${many.toFixed(1)} ms`,
        )
        // A few milliseconds on an idle machine.
        yield* Effect.promise(() => expectWithin(many, 5000))

        yield* fill(1000, MANY + 1000)
        expect((yield* expectNoScan(sweep)).length).toBeGreaterThanOrEqual(6)
      }).pipe(
        Effect.provide(
          Sweeper.layer({ sweepIntervalSecs: 60, sessionTtlSecs: 3600, sessionHardTtlSecs: 86_400 }).pipe(
            Layer.provide([
              bookkeeper,
              Retention.layer({
                streamRetentionSecs: 3600,
                eventRetentionDays: 14,
                eventMaxRows: 1000,
                auditRetentionDays: 50,
              }),
              Mock.workDirs,
              Mock.sessionDirs(new Set(["00000000-0000-4000-8000-999999999999" as SessionId])),
              Files.layer({ maxUploadBytes: 1, maxBytesPerToken: 1 }).pipe(
                Layer.provide([Mock.fileContents(), Mock.ids, Mock.secrets]),
              ),
            ]),
            Layer.provideMerge(SqliteLedger.layer()),
            Layer.provideMerge(Database.layer(file)),
          ),
        ),
      )
    }).pipe(Effect.scoped),
  )
})
