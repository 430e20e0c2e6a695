import { statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Logger, Option, Queue, Redacted } from "effect"
import type { FileId, RunId, TokenId } from "../../src/domain/Ids.ts"
import type { Refusal } from "../../src/domain/Refusal.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { OPERATOR } from "../../src/domain/Viewer.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import firstVersion from "../../src/infra/sqlite/migrations/0001_ledger.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { runEnd, oneShotSpec, origin, queuedAt } from "../support/LedgerRuns.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const token: AppToken = {
  id: "01J00000000000000000000001" as TokenId,
  name: "recipes" as TokenName,
  ipCidrs: ["192.168.0.0/16"],
  createdAt: 1000,
  lastUsedAt: null,
  revokedAt: null,
}
const run = oneShotSpec("01J00000000000000000000002" as RunId, token.id)
const done = {
  status: "completed" as const,
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage: { input_tokens: 1, output_tokens: 2, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  costUsd: 0.01,
}

const last = { kind: "result", body: "{}" } as const

const file = {
  id: "01J00000000000000000000003" as FileId,
  tokenId: token.id,
  name: "../../x\u0000y.txt",
  size: 12,
  createdAt: 3000,
  expiresAt: 63_000,
}
const upload = { file, token: Redacted.make("ff_x"), hash: "fh", ttlSecs: 60, origin }

const refusal = (more: Partial<Refusal>): Refusal => ({
  at: 4000,
  address: "10.0.0.1",
  code: "unauthorized",
  reason: "bearer",
  tokenId: null,
  requestId: "req-2",
  count: 1,
  ...more,
})

/** Runs an effect on the ledger in that file, as one life of the service. */
const withLedger = <A, E>(file: string, use: Effect.Effect<A, E, Ledger | SqlClient.SqlClient>) =>
  use.pipe(
    Effect.provide(SqliteLedger.layer().pipe(Layer.provideMerge(Database.layer(file)))),
    Effect.provide(Logger.remove(Logger.defaultLogger)),
  )

const inFile = <A, E>(test: (file: string) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(temporaryDirectory, (dir) => test(join(dir, "ledger.db"))))

/** Runs an effect on a ledger in a new file. */
const inLedger = <A, E>(use: Effect.Effect<A, E, Ledger | SqlClient.SqlClient>) =>
  inFile((file) => withLedger(file, use))

const statusAndEvents = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const runs = yield* sql<{ status: string; code: string | null }>`SELECT status, code FROM runs`
  const events = yield* sql<{ type: string }>`SELECT type FROM events ORDER BY seq`
  return { runs, events: events.map(({ type }) => type) }
})

describe("the ledger in SQLite", () => {
  it.effect("is a private file in WAL mode with full synchrony and foreign keys", () =>
    inFile((file) =>
      withLedger(
        file,
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          expect(yield* sql`PRAGMA journal_mode`).toEqual([{ journalMode: "wal" }])
          expect(yield* sql`PRAGMA synchronous`).toEqual([{ synchronous: 2 }])
          expect(yield* sql`PRAGMA foreign_keys`).toEqual([{ foreignKeys: 1 }])
          expect(yield* sql`PRAGMA busy_timeout`).toEqual([{ timeout: 5000 }])
          for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o777).toBe(0o600)
        }),
      ),
    ),
  )

  it.effect("writes each change and its event together, in one sequence", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, runs } = yield* Ledger
        yield* tokens.insert(token, "hash", origin)
        yield* runs.accept(run, queuedAt(2000))
        yield* runs.start(run.id, 2001)
        yield* runs.end(run.id, runEnd(done, 2006, last))
        yield* tokens.revoke(token.name, 3000, origin)
        expect((yield* statusAndEvents).events).toEqual([
          "token.mint",
          "run.queued",
          "run.started",
          "run.completed",
          "token.revoke",
        ])
      }),
    ),
  )

  it.effect("records an event without a subject, and publishes the change", () =>
    inLedger(
      Effect.gen(function* () {
        const { events } = yield* Ledger
        const changes = yield* events.changes
        const nobody = { runId: null, sessionId: null, tokenId: null }
        yield* events.append({ type: "login.changed", at: 5000, ...nobody, data: { logged_in: false } })
        yield* Queue.take(changes)
        expect(yield* events.latest({ viewer: OPERATOR }, 2)).toEqual([
          { seq: 1, type: "login.changed", at: 5000, ...nobody, token: null, data: { logged_in: false } },
        ])
      }).pipe(Effect.scoped),
    ),
  )

  it.effect("has an audit trail: app, event, time, address and outcome", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, runs } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        yield* tokens.insert(token, "hash", origin)
        yield* runs.accept(run, { at: 2000, startedAt: 2001 })
        yield* runs.end(run.id, runEnd(done, 2006, last))
        const rows = yield* sql`
            SELECT at, type, token, request_id, address, status, prompt_chars, response_chars, duration_ms
            FROM audit ORDER BY seq`
        const who = { token: "recipes", requestId: "req-1", address: "192.168.1.9" }
        const none = { status: null, promptChars: null, responseChars: null, durationMs: null }
        expect(rows).toEqual([
          { at: 1000, type: "token.mint", ...who, ...none },
          { at: 2000, type: "run.queued", ...who, ...none, promptChars: 7 },
          { at: 2001, type: "run.started", ...who, ...none, promptChars: 7 },
          {
            at: 2006,
            type: "run.completed",
            ...who,
            status: "completed",
            promptChars: 7,
            responseChars: 9,
            durationMs: 5,
          },
        ])
      }),
    ),
  )

  it.effect("records the first outcome of a run only", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, runs } = yield* Ledger
        yield* tokens.insert(token, "hash", origin)
        yield* runs.accept(run, queuedAt(2000))
        yield* runs.end(run.id, runEnd({ ...done, status: "cancelled" }, 2006, last))
        yield* runs.end(run.id, runEnd(done, 2007, last))
        yield* runs.start(run.id, 2008)
        const { runs: rows, events } = yield* statusAndEvents
        expect(rows).toEqual([{ status: "cancelled", code: null }])
        expect(events).toEqual(["token.mint", "run.queued", "run.cancelled"])
      }),
    ),
  )

  it.effect("keeps its tokens after a crash, and records unfinished runs as lost", () =>
    inFile((file) =>
      Effect.gen(function* () {
        yield* withLedger(
          file,
          Effect.gen(function* () {
            const { tokens, runs } = yield* Ledger
            yield* tokens.insert(token, "hash", origin)
            yield* runs.accept(run, queuedAt(2000))
            yield* runs.accept({ ...run, id: "01J00000000000000000000003" as RunId }, queuedAt(2000))
            yield* runs.start(run.id, 2001)
          }),
        )
        yield* withLedger(
          file,
          Effect.gen(function* () {
            const { tokens } = yield* Ledger
            expect(Option.map(yield* tokens.findByHash("hash"), ({ ipCidrs }) => ipCidrs)).toEqual(
              Option.some(["192.168.0.0/16"]),
            )
            const { runs, events } = yield* statusAndEvents
            expect(runs.map(({ status }) => status)).toEqual(["lost", "lost"])
            expect(events.slice(-2)).toEqual(["run.lost", "run.lost"])
          }),
        )
      }),
    ),
  )

  it.effect("has a row in the audit trail for each refused address, with reason and count", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, refusals } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        yield* tokens.insert(token, "hash", origin)
        yield* refusals.append([
          refusal({ count: 998 }),
          refusal({
            at: 5000,
            code: "ip_not_allowed",
            reason: "token",
            tokenId: token.id,
            requestId: "req-3",
          }),
        ])
        yield* refusals.append([])
        const rows = yield* sql`
            SELECT at, type, token, request_id, address, code, count, data ->> 'reason' AS reason, run_id, status
            FROM audit ORDER BY seq`
        const none = { runId: null, status: null }
        expect(rows.slice(1)).toEqual([
          {
            at: 4000,
            type: "admission.refused",
            token: null,
            requestId: "req-2",
            address: "10.0.0.1",
            code: "unauthorized",
            count: 998,
            reason: "bearer",
            ...none,
          },
          {
            at: 5000,
            type: "admission.refused",
            token: "recipes",
            requestId: "req-3",
            address: "10.0.0.1",
            code: "ip_not_allowed",
            count: 1,
            reason: "token",
            ...none,
          },
        ])
        expect(rows[0]).toMatchObject({ type: "token.mint", code: null, count: null })
      }),
    ),
  )

  it.effect("appends refusals in order: all of them or none", () =>
    inLedger(
      Effect.gen(function* () {
        const { refusals } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        const many = Array.from({ length: 1000 }, (_, n) => refusal({ address: `10.0.${n >> 8}.${n & 255}` }))
        yield* refusals.append(many)
        const rows = yield* sql<{ address: string }>`SELECT address FROM audit ORDER BY seq`
        expect(rows.map(({ address }) => address)).toEqual(many.map(({ address }) => address))
        yield* sql`CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.at = 9000
          BEGIN SELECT RAISE(ABORT, 'full'); END`
        const failure = yield* Effect.flip(refusals.append([refusal({}), refusal({ at: 9000 })]))
        expect(failure).toMatchObject({ _tag: "StorageFailed", during: "recording who was refused" })
        expect((yield* statusAndEvents).events).toHaveLength(1000)
      }),
    ),
  )

  it.effect("migrates a file of the first version, and keeps its rows", () =>
    inFile((file) =>
      Effect.gen(function* () {
        const first = Migrator.make({})({ loader: Migrator.fromRecord({ "0001_ledger": firstVersion }) })
        yield* Effect.gen(function* () {
          yield* first
          const sql = yield* SqlClient.SqlClient
          yield* sql`
            INSERT INTO tokens (id, name, hash, ip_cidrs, created_at)
            VALUES (${token.id}, ${token.name}, 'hash', '[]', 1000)`
          yield* sql`
            INSERT INTO runs (id, kind, token_id, status, model, created_at, code, prompt_chars, request_id, address)
            VALUES (${run.id}, 'run', ${token.id}, 'failed', 'sonnet', 2000, 'run_failed', 7, 'req-1', '::1')`
          for (const type of ["token.mint", "run.queued", "run.failed"]) {
            const about = type === "token.mint" ? null : run.id
            yield* sql`
              INSERT INTO events (type, at, run_id, token_id, data)
              VALUES (${type}, 2000, ${about}, ${token.id}, '{}')`
          }
        }).pipe(Effect.provide(SqliteClient.layer({ filename: file })))
        yield* withLedger(
          file,
          Effect.gen(function* () {
            const { refusals } = yield* Ledger
            const sql = yield* SqlClient.SqlClient
            yield* refusals.append([refusal({ count: 3 })])
            expect(yield* sql`SELECT type, code, count FROM audit ORDER BY seq`).toEqual([
              { type: "token.mint", code: null, count: null },
              { type: "run.queued", code: null, count: null },
              { type: "run.failed", code: "run_failed", count: null },
              { type: "admission.refused", code: "unauthorized", count: 3 },
            ])
          }),
        )
      }),
    ),
  )

  it.effect("refuses to change an event", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens } = yield* Ledger
        const sql = yield* SqlClient.SqlClient
        yield* tokens.insert(token, "hash", origin)
        const failure = yield* Effect.flip(sql`UPDATE events SET type = 'run.lost'`)
        expect(String(failure.cause)).toContain("append-only")
      }),
    ),
  )

  it.effect("fails with StorageFailed on a full disk, and works again when there is room", () =>
    inFile((file) =>
      withLedger(
        file,
        Effect.gen(function* () {
          const { tokens, runs } = yield* Ledger
          const sql = yield* SqlClient.SqlClient
          yield* tokens.insert(token, "hash", origin)
          const [size] = yield* sql<{ pageCount: number }>`PRAGMA page_count`
          yield* sql`PRAGMA max_page_count = ${sql.literal(String(size?.pageCount))}`
          const open = (n: number) =>
            runs.accept(
              { ...run, id: String(n).padStart(26, "0") as RunId, model: "m".repeat(5000) },
              queuedAt(2000),
            )
          expect(yield* Effect.flip(open(1))).toMatchObject({
            _tag: "StorageFailed",
            during: "accepting a run",
          })
          yield* sql`PRAGMA max_page_count = 1000000`
          yield* open(2)
          expect((yield* statusAndEvents).events).toEqual(["token.mint", "run.queued"])
        }),
      ),
    ),
  )

  it.effect("gives a name to one of four tokens that are minted at once", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens } = yield* Ledger
        const mint = (n: number) =>
          tokens.insert({ ...token, id: `01J0000000000000000000001${n}` as TokenId }, `hash ${n}`, origin)
        const results = yield* Effect.all(
          [0, 1, 2, 3].map((n) => Effect.either(mint(n))),
          { concurrency: "unbounded" },
        )
        expect(results.filter(({ _tag }) => _tag === "Right")).toHaveLength(1)
        expect(yield* tokens.list).toHaveLength(1)
      }),
    ),
  )
})

describe("a run and an upload", () => {
  it.effect("are refused without a token, and after its revocation", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, runs, files } = yield* Ledger
        expect(yield* Effect.flip(runs.accept(run, queuedAt(2000)))).toMatchObject({ _tag: "Unauthorized" })
        yield* tokens.insert(token, "h", origin)
        yield* tokens.revoke(token.name, 1500, origin)
        expect(yield* Effect.flip(runs.accept(run, queuedAt(2000)))).toMatchObject({ _tag: "Unauthorized" })
        expect((yield* statusAndEvents).runs).toEqual([])
        expect(yield* Effect.flip(files.insert(upload))).toMatchObject({ _tag: "Unauthorized" })
        expect(yield* files.list).toEqual([])
      }),
    ),
  )
})

describe("files in the ledger in SQLite", () => {
  it.effect("are found by the hash of their token, unchanged, also after a restart", () =>
    inFile((path) =>
      Effect.gen(function* () {
        yield* withLedger(
          path,
          Effect.gen(function* () {
            const { tokens, files } = yield* Ledger
            yield* tokens.insert(token, "h", origin)
            yield* files.insert(upload)
          }),
        )
        yield* withLedger(
          path,
          Effect.gen(function* () {
            const { files } = yield* Ledger
            expect(yield* files.findByHash("fh")).toEqual(Option.some(file))
            expect(yield* files.findByHash("other")).toEqual(Option.none())
            expect(yield* files.list).toEqual([file])
            expect(yield* files.soonestExpiry(token.id)).toEqual(Option.some(63_000))
            expect(yield* files.soonestExpiry("x" as TokenId)).toEqual(Option.none())
          }),
        )
      }),
    ),
  )

  it.effect("are due from their expiry on, are removed once, and have an event for each end", () =>
    inLedger(
      Effect.gen(function* () {
        const { tokens, files } = yield* Ledger
        yield* tokens.insert(token, "h", origin)
        yield* files.insert(upload)
        expect(yield* files.due(62_999)).toEqual([])
        expect(yield* files.due(63_000)).toEqual([file])
        expect(yield* files.remove([file], 63_000)).toEqual([file])
        expect(yield* files.remove([file], 63_000)).toEqual([])
        const sql = yield* SqlClient.SqlClient
        const audit =
          yield* sql`SELECT type, token, address, data FROM audit WHERE type LIKE 'file.%' ORDER BY seq`
        expect(audit).toMatchObject([
          { type: "file.upload", token: "recipes", address: "192.168.1.9" },
          { type: "file.expire", token: "recipes" },
        ])
        expect(JSON.stringify(audit)).not.toMatch(/fh|txt/)
      }),
    ),
  )
})
