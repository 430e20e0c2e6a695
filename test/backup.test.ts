import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber } from "effect"
import { cli, cliProcess } from "./support/Cli.ts"
import { ADMIN_TOKEN, startServer, temporaryDirectory } from "./support/TestServer.ts"

/** What a query finds in a database file. */
const rowsIn = (file: string, query: string): ReadonlyArray<any> => {
  const database = new Sqlite(file, { readonly: true })
  try {
    return database.prepare(query).pluck().all()
  } finally {
    database.close()
  }
}

const tokensIn = (file: string) => rowsIn(file, "SELECT name FROM tokens ORDER BY created_at, name")

/** A database of clawdforge, whose service is stopped. */
const stoppedService = Effect.gen(function* () {
  const dir = yield* temporaryDirectory
  yield* Effect.scoped(Effect.flatMap(startServer({}, dir), (server) => server.mint("first")))
  return { dir, database: join(dir, "clawdforge.db"), env: { DATA_DIR: dir } }
})

describe("clawdforge backup", () => {
  it.scopedLive("copies the database while a service writes to it without a pause", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const server = yield* startServer({}, dir)
      yield* server.mint("before")
      let minted = 0
      const write = (writer: number) =>
        Effect.forever(Effect.suspend(() => server.mint(`app-${writer}-${(minted += 1)}`)))
      const writers = yield* Effect.fork(Effect.all([1, 2, 3, 4].map(write), { concurrency: "unbounded" }))
      yield* Effect.repeat(Effect.sleep(5), { until: () => minted > 20 })
      const file = join(dir, "backup.db")
      const made = yield* cliProcess(["backup", "--json", file], { env: { DATA_DIR: dir } })
      const during = minted
      yield* Effect.repeat(Effect.sleep(5), { until: () => minted > during })
      yield* Fiber.interrupt(writers)
      expect([made.code, made.stderr]).toEqual([0, ""])
      expect(made.json).toEqual({ ok: true, file, bytes: statSync(file).size })
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(rowsIn(file, "PRAGMA integrity_check")).toEqual(["ok"])
      const copied = tokensIn(file)
      expect(copied).toContain("before")
      expect(copied.length).toBeGreaterThan(20)
      // Every write is a token and its event, in one transaction.
      expect(rowsIn(file, "SELECT count(*) FROM events WHERE type = 'token.mint'")).toEqual([copied.length])
    }),
  )

  it.scopedLive("overwrites nothing, and leaves nothing if it fails", () =>
    Effect.gen(function* () {
      const { dir, env } = yield* stoppedService
      const file = join(dir, "backup.db")
      writeFileSync(file, "mine")
      expect(yield* cli(["backup", file], env)).toMatchObject({
        code: 1,
        stderr: `clawdforge: ${file} exists, and is not overwritten\n`,
      })
      expect(readFileSync(file, "utf8")).toBe("mine")
      const other = yield* temporaryDirectory
      const nowhere = yield* cli(["backup", join(other, "backup.db")], { DATA_DIR: other })
      expect([nowhere.code, nowhere.stderr]).toEqual([
        1,
        expect.stringMatching(/there is no database .*DATA_DIR/),
      ])
      writeFileSync(join(other, "clawdforge.db"), "no database".repeat(1000))
      expect((yield* cli(["backup", join(other, "backup.db")], { DATA_DIR: other })).code).toBe(1)
      expect(readdirSync(other)).toEqual(["clawdforge.db"])
    }),
  )
})

describe("clawdforge restore", () => {
  it.scopedLive(
    "brings back what the backup has, keeps the old database, and no revoked token comes back",
    () =>
      Effect.gen(function* () {
        const dir = yield* temporaryDirectory
        const [file, database, env] = [join(dir, "backup.db"), join(dir, "clawdforge.db"), { DATA_DIR: dir }]
        const refused = yield* Effect.gen(function* () {
          const server = yield* startServer({}, dir)
          yield* server.mint("kept")
          yield* server.mint("revoked")
          expect((yield* cli(["backup", file], env)).code).toBe(0)
          yield* server.request("DELETE", "/admin/tokens/revoked", { token: ADMIN_TOKEN })
          yield* server.mint("later")
          return yield* cli(["restore", file], env)
        }).pipe(Effect.scoped)
        expect(refused).toMatchObject({
          code: 1,
          stderr: `clawdforge: a service is at work on ${dir}: stop it first\n`,
        })
        const last = rowsIn(database, "SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        const restored = yield* cli(["restore", "--json", file], env)
        expect(restored).toMatchObject({
          code: 0,
          json: { ok: true, file: database, replaced: expect.stringContaining("clawdforge.db.replaced-") },
          stderr: "These were revoked since the backup, and stay so: revoked\n",
        })
        expect(tokensIn(restored.json.replaced)).toEqual(["kept", "revoked", "later"])
        expect(statSync(database).mode & 0o777).toBe(0o600)
        const server = yield* startServer({}, dir)
        const { json } = yield* server.request("GET", "/admin/tokens", { token: ADMIN_TOKEN })
        expect(json.tokens.map(({ name, revoked_at }: any) => [name, revoked_at === null]).sort()).toEqual([
          ["kept", true],
          ["revoked", false],
        ])
        yield* server.mint("next")
        expect(rowsIn(database, "SELECT max(seq) FROM events")[0]).toBeGreaterThan(last[0])
      }),
  )

  it.scopedLive("refuses what is no whole backup, and changes nothing", () =>
    Effect.gen(function* () {
      const { dir, database, env } = yield* stoppedService
      const file = join(dir, "backup.db")
      const restore = cli(["restore", file], env)
      const says = (reason: RegExp) =>
        Effect.map(restore, ({ code, stderr }) => {
          expect([code, stderr]).toEqual([1, expect.stringMatching(reason)])
          expect(tokensIn(database)).toEqual(["first"])
          expect(readdirSync(dir).filter((name) => /replaced|restoring/.test(name))).toEqual([])
        })
      yield* says(/does not exist/)
      writeFileSync(file, "no database")
      yield* says(/is not a backup of clawdforge/)
      const other = new Sqlite(join(dir, "other.db"))
      other.exec("CREATE TABLE effect_sql_migrations (migration_id INTEGER)")
      other.exec("INSERT INTO effect_sql_migrations VALUES (99999)")
      other.close()
      const newer = yield* cli(["restore", join(dir, "other.db")], env)
      expect([newer.code, newer.stderr]).toEqual([1, expect.stringMatching(/newer clawdforge.*99999/)])
      writeFileSync(file, readFileSync(database))
      truncateSync(file, 3 * 4096)
      yield* says(/is damaged|is not a backup/)
      // A service that another DATA_DIR has, on the same DB_PATH.
      const service = new Sqlite(database)
      service.prepare("SELECT name FROM tokens").all()
      expect((yield* cli(["backup", join(dir, "good.db")], env)).code).toBe(0)
      const inUse = yield* cli(["restore", join(dir, "good.db")], env)
      expect([inUse.code, inUse.stderr]).toEqual([1, expect.stringMatching(/in use by another program/)])
      service.close()
    }),
  )

  it.scopedLive("replaces a damaged database, keeps it, and warns", () =>
    Effect.gen(function* () {
      const { dir, database, env } = yield* stoppedService
      const file = join(dir, "backup.db")
      expect((yield* cli(["backup", file], env)).code).toBe(0)
      writeFileSync(database, "damaged".repeat(5000))
      writeFileSync(`${database}-wal`, "of the damaged one")
      const restored = yield* cli(["restore", "--json", file], env)
      expect([restored.code, restored.stderr]).toEqual([0, expect.stringContaining("in force again")])
      expect([tokensIn(database), existsSync(`${database}-wal`)]).toEqual([["first"], false])
      expect(readFileSync(restored.json.replaced, "utf8")).toMatch(/^damaged/)
    }),
  )
})
