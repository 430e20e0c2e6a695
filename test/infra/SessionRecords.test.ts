import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Either, Layer, Logger, Option } from "effect"
import type { RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { RunEnded } from "../../src/domain/Run.ts"
import type { AgentName, AgentSessionRef, SessionOpening } from "../../src/domain/Session.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { fromColumn } from "../../src/infra/sqlite/Columns.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import firstVersion from "../../src/infra/sqlite/migrations/0001_ledger.ts"
import secondVersion from "../../src/infra/sqlite/migrations/0002_files.ts"
import thirdVersion from "../../src/infra/sqlite/migrations/0003_refusals.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import * as Mock from "../../src/testing.ts"
import { runEnd, origin, queuedAt, turnSpec } from "../support/LedgerRuns.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const last = { kind: "result", body: "{}" } as const

const app = (n: number): AppToken => ({
  id: `01J0000000000000000000000${n}` as TokenId,
  name: `app-${n}` as TokenName,
  ipCidrs: [],
  createdAt: 1000,
  lastUsedAt: null,
  revokedAt: null,
})
const [mine, theirs] = [app(1), app(2)] as const
const sessionId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` as SessionId
const runId = (n: number) => String(n).padStart(26, "0") as RunId
const opening = (n: number, more: Partial<SessionOpening> = {}): SessionOpening => ({
  id: sessionId(n),
  tokenId: mine.id,
  agent: "claude" as AgentName,
  model: null,
  meta: null,
  permissionMode: "approve-all",
  origin,
  at: 2000,
  ...more,
})
const ref = (name: string) => name as AgentSessionRef
const takeTurn = Effect.fn(function* (n: number, session: SessionId, at = 3000) {
  const { runs } = yield* Ledger
  const { turn } = yield* runs.accept(turnSpec(runId(n), mine.id, session), queuedAt(at))
  return turn?.index ?? 0
})
const done: RunEnded = {
  status: "completed",
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage: null,
  costUsd: null,
}

/** Runs an effect on the ledger in that file, as one life of the service. */
const withLedger = <A, E>(file: string, use: Effect.Effect<A, E, Ledger | SqlClient.SqlClient>) =>
  use.pipe(
    Effect.provide(SqliteLedger.layer().pipe(Layer.provideMerge(Database.layer(file)))),
    Effect.provide(Logger.remove(Logger.defaultLogger)),
  )

const inFile = <A, E>(test: (file: string) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(temporaryDirectory, (dir) => test(join(dir, "ledger.db"))))

const inSqlite = <A, E>(use: Effect.Effect<A, E, Ledger | SqlClient.SqlClient>) =>
  inFile((file) => withLedger(file, use))

const twoApps = Effect.gen(function* () {
  const { tokens } = yield* Ledger
  yield* tokens.insert(mine, "h1", origin)
  yield* tokens.insert(theirs, "h2", origin)
})

const open = Effect.fn(function* (n: number, more: Partial<SessionOpening> = {}) {
  const { sessions } = yield* Ledger
  const session = opening(n, more)
  yield* sessions.reserve(session, 1000)
  yield* sessions.activate({ ...session, at: session.at + 1 }, ref(`ref-${n}`))
})

/** Returns the types of the sessions' events, in order. */
const events = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ type: string }>`SELECT type FROM events WHERE session_id IS NOT NULL ORDER BY seq`,
).pipe(Effect.map((rows) => rows.map(({ type }) => type)))

for (const [where, inLedger] of [
  ["in SQLite", inSqlite],
  [
    "in memory",
    <A, E>(use: Effect.Effect<A, E, Ledger>) => Effect.suspend(() => Effect.provide(use, Mock.ledger())),
  ],
] as const) {
  describe(`sessions in the ledger, ${where},`, () => {
    it.effect("are shown once they are open, as they were requested", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          const asked = { model: "haiku", meta: { user: "ada", n: [1] }, permissionMode: "deny-all" as const }
          yield* sessions.reserve(opening(1, asked), 1)
          expect(yield* sessions.find(sessionId(1))).toEqual(Option.none())
          expect(yield* sessions.list(mine.id, { includeClosed: true })).toEqual([])
          expect(yield* sessions.countOpen).toBe(1)
          yield* sessions.activate(opening(1, asked), ref("a"))
          const session = {
            id: sessionId(1),
            tokenId: mine.id,
            agent: "claude",
            ...asked,
            status: "open",
            turnCount: 0,
            createdAt: 2000,
            lastTurnAt: null,
            closedAt: null,
            ref: "a",
            answered: false,
            agentCostUsd: null,
          }
          expect(yield* sessions.find(sessionId(1))).toEqual(Option.some(session))
          yield* sessions.setRef(sessionId(1), ref("b"))
          expect(yield* sessions.list(mine.id, { includeClosed: false })).toEqual([{ ...session, ref: "b" }])
          expect(yield* sessions.list(theirs.id, { includeClosed: true })).toEqual([])
        }),
      ),
    )

    it.effect("keep their meta unchanged, also a key `__proto__`", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          const meta = '{"__proto__":{"a":1},"constructor":null}'
          yield* sessions.reserve(opening(1, { meta: JSON.parse(meta) }), 1)
          yield* sessions.activate(opening(1, { meta: JSON.parse(meta) }), ref("a"))
          const found = Option.getOrThrow(yield* sessions.find(sessionId(1)))
          expect(JSON.stringify(found.meta)).toBe(meta)
        }),
      ),
    )

    it.effect("are closed once, and then removed once", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          yield* open(1)
          expect(yield* sessions.remove(sessionId(1), 4000)).toBe(false)
          expect(yield* sessions.close(sessionId(1), 4000, origin)).toBe(true)
          expect(yield* sessions.close(sessionId(1), 5000, null)).toBe(false)
          expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
            status: "closed",
            closedAt: 4000,
          })
          expect(yield* sessions.countOpen).toBe(0)
          expect(yield* sessions.list(mine.id, { includeClosed: false })).toEqual([])
          expect(yield* sessions.list(mine.id, { includeClosed: true })).toHaveLength(1)
          yield* sessions.setRef(sessionId(1), ref("late"))
          expect(Option.getOrThrow(yield* sessions.find(sessionId(1))).ref).toBe("ref-1")
          expect(yield* sessions.remove(sessionId(1), 6000)).toBe(true)
          expect(yield* sessions.remove(sessionId(1), 6000)).toBe(false)
          expect(yield* sessions.find(sessionId(1))).toEqual(Option.none())
        }),
      ),
    )

    it.effect("are listed newest first, also when they were created at the same time", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          for (const n of [3, 1, 2]) yield* open(n)
          yield* open(4, { at: 1999 })
          yield* open(5, { tokenId: theirs.id })
          const listed = yield* sessions.list(mine.id, { includeClosed: true })
          expect(listed.map(({ id }) => id)).toEqual([2, 1, 3, 4].map(sessionId))
        }),
      ),
    )

    it.effect("never take more places than the limit, also when many open at once", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          const asked = yield* Effect.all(
            Array.from({ length: 50 }, (_, n) =>
              Effect.either(
                Effect.zipRight(
                  sessions.reserve(opening(n), 8),
                  Effect.zipRight(Effect.yieldNow(), sessions.activate(opening(n), ref("r"))),
                ),
              ),
            ),
            { concurrency: "unbounded" },
          )
          expect(asked.filter(Either.isRight)).toHaveLength(8)
          for (const refused of asked.filter(Either.isLeft)) {
            expect(refused.left).toMatchObject({ _tag: "PoolFull", limit: 8 })
          }
          expect(yield* sessions.countOpen).toBe(8)
        }),
      ),
    )

    it.effect("give their place back when they are abandoned or closed", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          yield* sessions.reserve(opening(1), 1)
          yield* sessions.abandon(sessionId(1))
          yield* sessions.reserve(opening(2), 1)
          expect(yield* Effect.flip(sessions.reserve(opening(3), 1))).toMatchObject({ _tag: "PoolFull" })
          expect(yield* sessions.abandonAll).toEqual([sessionId(2)])
          yield* open(4)
          yield* sessions.abandon(sessionId(4))
          expect(yield* sessions.abandonAll).toEqual([])
          expect(yield* sessions.countOpen).toBe(1)
          yield* sessions.close(sessionId(4), 4000, null)
          yield* sessions.reserve(opening(5), 1)
        }),
      ),
    )

    it.effect("are neither reserved nor activated after their token's revocation", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions, tokens } = yield* Ledger
          yield* twoApps
          yield* open(1)
          yield* sessions.reserve(opening(2), 2)
          yield* tokens.revoke(mine.name, 2500, origin)
          expect(yield* Effect.flip(sessions.activate(opening(2), ref("r")))).toMatchObject({
            _tag: "Unauthorized",
          })
          expect(yield* Effect.flip(sessions.reserve(opening(3), 2))).toMatchObject({ _tag: "Unauthorized" })
          expect(yield* Effect.flip(takeTurn(1, sessionId(1)))).toMatchObject({
            _tag: "Unauthorized",
          })
          yield* sessions.abandon(sessionId(2))
          expect(yield* sessions.countOpen).toBe(1)
        }),
      ),
    )

    it.effect("count their turns without a gap, also when many are accepted at once", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          yield* open(1)
          const indexes = yield* Effect.all(
            Array.from({ length: 20 }, (_, n) => takeTurn(n, sessionId(1))),
            { concurrency: "unbounded" },
          )
          expect(indexes.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
          expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
            turnCount: 20,
            lastTurnAt: 3000,
          })
        }),
      ),
    )

    it.effect("accept turns of their own app only, and only while they are open", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          yield* open(1, { tokenId: theirs.id })
          yield* open(2)
          yield* sessions.reserve(opening(3), 9)
          yield* sessions.close(sessionId(2), 2500, origin)
          const refused = (n: number) =>
            Effect.map(Effect.flip(takeTurn(n, sessionId(n))), ({ _tag }) => _tag)
          expect(yield* Effect.forEach([1, 2, 3, 4], refused)).toEqual([
            "SessionNotFound",
            "SessionClosed",
            "SessionNotFound",
            "SessionNotFound",
          ])
        }),
      ),
    )

    it.effect("record whether the agent ever answered: a failed or cancelled turn does not count", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions, runs } = yield* Ledger
          yield* twoApps
          yield* open(1)
          const after = Effect.fn(function* (n: number, end: RunEnded) {
            yield* takeTurn(n, sessionId(1))
            yield* runs.start(runId(n), 3000)
            yield* runs.end(runId(n), runEnd(end, 3000 + n, last))
            const { answered, lastTurnAt } = Option.getOrThrow(yield* sessions.find(sessionId(1)))
            return [answered, lastTurnAt]
          })
          expect(yield* after(1, { ...done, status: "failed", stopReason: null })).toEqual([false, 3001])
          expect(yield* after(2, { ...done, status: "cancelled", stopReason: "cancelled" })).toEqual([
            false,
            3002,
          ])
          expect(yield* after(3, done)).toEqual([true, 3003])
          expect(yield* after(4, { ...done, status: "failed", stopReason: null })).toEqual([true, 3004])
        }),
      ),
    )

    it.effect("are idle when no turn was accepted or ended since then, and none is unfinished", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions, runs } = yield* Ledger
          yield* twoApps
          for (const n of [1, 2, 3]) yield* open(n, { at: 2000 + n })
          yield* takeTurn(1, sessionId(2), 3000)
          yield* takeTurn(2, sessionId(3), 3000)
          for (const n of [1, 2]) yield* runs.start(runId(n), 3000)
          yield* runs.end(runId(2), runEnd(done, 3500, last))
          const idle = (since: number) =>
            Effect.map(sessions.idle(since), (found) => found.map(({ id }) => id))
          expect(yield* idle(2001)).toEqual([])
          expect(yield* idle(2002)).toEqual([sessionId(1)])
          expect(yield* idle(3500)).toEqual([sessionId(1)])
          expect(yield* idle(9000)).toEqual([sessionId(1), sessionId(3)])
          expect(yield* sessions.closeIdle(sessionId(3), 3500, 9000)).toBe(false)
          expect(yield* sessions.closeIdle(sessionId(2), 9000, 9000)).toBe(false)
          expect(yield* sessions.closeIdle(sessionId(3), 3501, 9000)).toBe(true)
          expect(yield* sessions.closeIdle(sessionId(3), 3501, 9000)).toBe(false)
          yield* runs.end(runId(1), runEnd(done, 4000, last))
          expect(yield* sessions.closeIdle(sessionId(2), 9000, 9000)).toBe(true)
        }),
      ),
    )

    it.effect("are due in an order that can be continued after any session", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          for (let n = 0; n < 520; n++) yield* open(n, { at: 2000 + (n % 3) })
          const idle: Array<SessionId> = []
          for (let page = yield* sessions.idle(9000); page.length > 0; ) {
            idle.push(...page.map(({ id }) => id))
            page = yield* sessions.idle(9000, page.at(-1))
          }
          expect(new Set(idle).size).toBe(520)
          expect(idle).toHaveLength(520)
          for (let n = 0; n < 520; n++) yield* sessions.close(sessionId(n), 4000 + (n % 2), null)
          const closed: Array<SessionId> = []
          for (let page = yield* sessions.closedUntil(4000); page.length > 0; ) {
            closed.push(...page.map(({ id }) => id))
            page = yield* sessions.closedUntil(4000, page.at(-1))
          }
          expect(closed).toEqual(Array.from({ length: 260 }, (_, n) => sessionId(2 * n)))
          expect(yield* sessions.closedUntil(3999)).toEqual([])
        }),
      ),
    )

    it.effect("are live while they are opening or open", () =>
      inLedger(
        Effect.gen(function* () {
          const { sessions } = yield* Ledger
          yield* twoApps
          yield* open(1)
          yield* sessions.reserve(opening(2), 9)
          yield* open(3)
          yield* sessions.close(sessionId(3), 4000, origin)
          expect((yield* sessions.liveAmong([1, 2, 3, 4].map(sessionId))).toSorted()).toEqual([
            sessionId(1),
            sessionId(2),
          ])
          expect(yield* sessions.liveAmong([])).toEqual([])
        }),
      ),
    )
  })
}

describe("sessions in the audit trail", () => {
  it.effect("have the app, the address and the outcome of each turn", () =>
    inSqlite(
      Effect.gen(function* () {
        const { sessions, runs } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        yield* twoApps
        yield* open(1, { meta: { secret: "of the app" } })
        yield* takeTurn(1, sessionId(1))
        yield* runs.start(runId(1), 3001)
        yield* runs.end(runId(1), runEnd(done, 3006, last))
        yield* sessions.close(sessionId(1), 4000, { requestId: "req-9", address: "10.0.0.1" })
        yield* sessions.remove(sessionId(1), 5000)
        yield* open(2, { model: "haiku" })
        yield* sessions.closeIdle(sessionId(2), 9000, 9001)
        const rows = yield* sql`
          SELECT at, type, request_id, address, status, prompt_chars, response_chars, duration_ms, run_id
          FROM audit WHERE session_id = ${sessionId(1)} AND token = 'app-1' ORDER BY seq`
        const from = { requestId: "req-1", address: "192.168.1.9" }
        const nothing = { status: null, promptChars: null, responseChars: null, durationMs: null }
        const queued = { ...from, ...nothing, promptChars: 7, runId: runId(1) }
        const ended = { ...queued, status: "completed", responseChars: 9, durationMs: 5 }
        expect(rows).toEqual([
          { at: 2001, type: "session.create", ...from, ...nothing, runId: null },
          { at: 3000, type: "run.queued", ...queued },
          { at: 3001, type: "run.started", ...queued },
          { at: 3006, type: "run.completed", ...ended },
          { at: 3006, type: "session.turn", ...ended },
          {
            at: 4000,
            type: "session.close",
            requestId: "req-9",
            address: "10.0.0.1",
            ...nothing,
            runId: null,
          },
          {
            at: 5000,
            type: "session.hard_delete",
            requestId: null,
            address: null,
            ...nothing,
            runId: null,
          },
        ])
        const request = { request_id: "req-1", address: "192.168.1.9" }
        const data = yield* sql<{ type: string; data: string }>`
          SELECT type, data FROM events WHERE type LIKE 'session.%' ORDER BY seq`
        expect(data.map(({ type, data }) => [type, JSON.parse(data)])).toEqual([
          ["session.create", { ...request, agent: "claude", model: null, permission_mode: "approve-all" }],
          ["session.turn", { turn_index: 1 }],
          ["session.close", { request_id: "req-9", address: "10.0.0.1" }],
          ["session.hard_delete", {}],
          ["session.create", { ...request, agent: "claude", model: "haiku", permission_mode: "approve-all" }],
          ["session.sweep_close", {}],
        ])
      }),
    ),
  )

  it.effect("have no event for a change that was refused or already made", () =>
    inSqlite(
      Effect.gen(function* () {
        const { sessions, runs, tokens } = yield* Ledger
        yield* twoApps
        yield* sessions.reserve(opening(1), 1)
        yield* Effect.flip(sessions.reserve(opening(2), 1))
        yield* sessions.abandon(sessionId(1))
        yield* open(3)
        yield* takeTurn(1, sessionId(3))
        yield* sessions.closeIdle(sessionId(3), 9000, 9000)
        yield* runs.end(
          runId(1),
          runEnd({ ...done, status: "cancelled", stopReason: "cancelled" }, 3001, last),
        )
        yield* runs.end(runId(1), runEnd(done, 3002, last))
        yield* sessions.close(sessionId(3), 4000, null)
        yield* sessions.close(sessionId(3), 4000, null)
        yield* Effect.flip(takeTurn(2, sessionId(3)))
        yield* tokens.revoke(mine.name, 5000, origin)
        expect(yield* events).toEqual([
          "session.create",
          "run.queued",
          "run.cancelled",
          "session.turn",
          "session.close",
        ])
      }),
    ),
  )

  it.effect("have the turns that a crash ended as lost, in a session that stays open", () =>
    inFile((file) =>
      Effect.gen(function* () {
        yield* withLedger(
          file,
          Effect.gen(function* () {
            const { runs } = yield* Ledger
            yield* twoApps
            yield* open(1, { model: "haiku" })
            yield* takeTurn(1, sessionId(1))
            yield* runs.start(runId(1), 3001)
            yield* takeTurn(2, sessionId(1))
          }),
        )
        yield* withLedger(
          file,
          Effect.gen(function* () {
            const { sessions } = yield* Ledger
            const sql = yield* SqlClient.SqlClient
            expect(yield* sql`SELECT kind, turn_index, model, status FROM runs ORDER BY id`).toEqual([
              { kind: "turn", turnIndex: 1, model: "haiku", status: "lost" },
              { kind: "turn", turnIndex: 2, model: "haiku", status: "lost" },
            ])
            expect((yield* events).slice(-4)).toEqual([
              "run.lost",
              "session.turn",
              "run.lost",
              "session.turn",
            ])
            expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
              status: "open",
              ref: "ref-1",
              answered: false,
              turnCount: 2,
            })
            expect(yield* takeTurn(3, sessionId(1))).toBe(3)
          }),
        )
      }),
    ),
  )
})

describe("a ledger without sessions, of an older version,", () => {
  const before = Migrator.make({})({
    loader: Migrator.fromRecord({
      "0001_ledger": firstVersion,
      "0002_files": secondVersion,
      "0003_refusals": thirdVersion,
    }),
  })
  const everything = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = ["tokens", "runs", "files", "events", "audit"]
    const rows = yield* Effect.forEach(
      tables,
      (table) => sql`SELECT * FROM ${sql.literal(table)} ORDER BY 1, 2, 3`,
    )
    return Object.fromEntries(tables.map((table, n) => [table, rows[n]]))
  })

  it.effect("is migrated with all its rows, and can have sessions", () =>
    inFile((file) =>
      Effect.gen(function* () {
        const old = yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`PRAGMA foreign_keys = ON`
          yield* before
          yield* sql`
            INSERT INTO tokens VALUES (${mine.id}, ${mine.name}, 'h1', '["10.0.0.0/8"]', 1000, 1500, NULL),
              (${theirs.id}, ${theirs.name}, 'h2', '[]', 1000, NULL, 1400)`
          yield* sql`
            INSERT INTO runs VALUES
              (${runId(2)}, 'run', ${mine.id}, NULL, NULL, 'completed', 'sonnet', 1100, 1101, 1150, 49, 'end_turn',
                NULL, '{"input_tokens":3}', 0.25, 12, 34, 'req-2', '10.0.0.1'),
              (${runId(1)}, 'run', ${theirs.id}, NULL, NULL, 'failed', 'opus', 1200, 1201, 1250, 49, NULL,
                'run_failed', NULL, NULL, 13, NULL, 'req-3', '10.0.0.2')`
          yield* sql`INSERT INTO files VALUES ('f', 'fh', ${mine.id}, 'a.txt', 3, 1100, 2100)`
          yield* sql`
            INSERT INTO events (type, at, run_id, token_id, data) VALUES
              ('token.mint', 1000, NULL, ${mine.id}, '{"request_id":"req-1","address":"10.0.0.9"}'),
              ('run.queued', 1100, ${runId(2)}, ${mine.id}, '{}'),
              ('run.completed', 1150, ${runId(2)}, ${mine.id}, '{}'),
              ('run.failed', 1250, ${runId(1)}, ${theirs.id}, '{"code":"run_failed"}'),
              ('admission.refused', 1300, NULL, NULL, '{"address":"10.0.0.8","code":"unauthorized","count":7}')`
          return yield* everything
        }).pipe(Effect.provide(SqliteClient.layer({ filename: file, transformResultNames: fromColumn })))

        yield* withLedger(
          file,
          Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            const since = { textUntil: null, trimmedTo: 0 }
            expect(yield* everything).toEqual({
              ...old,
              runs: old.runs?.map((run) => Object.assign(run, since)),
            })
            expect(yield* sql`PRAGMA foreign_key_check`).toEqual([])
            expect(yield* sql`PRAGMA integrity_check`).toEqual([{ integrityCheck: "ok" }])
            const indexes = yield* sql<{ name: string }>`
              SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'runs' AND sql IS NOT NULL`
            expect(indexes.map(({ name }) => name)).toEqual(
              expect.arrayContaining(["runs_of_token", "runs_unfinished", "runs_unfinished_of_session"]),
            )
            yield* open(1)
            expect(yield* takeTurn(3, sessionId(1))).toBe(1)
            expect(yield* Effect.flip(sql`UPDATE events SET type = 'run.lost'`)).toBeDefined()
          }),
        )
      }),
    ),
  )
})
