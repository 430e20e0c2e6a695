import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import { ClaudeScript, Forge, forge } from "../../src/testing.ts"
import { scriptedClaude, startServer } from "../support/TestServer.ts"

const ask = Effect.flatMap(Forge, ({ fetch, token }) =>
  Effect.promise(async () => {
    const body = JSON.stringify({ prompt: "hello" })
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` }
    const response = await fetch("/run", { method: "POST", headers, body })
    return { status: response.status, text: await response.text() }
  }),
)

describe("the HTTP API", () => {
  it.live("is served in memory, for a consumer's tests: no process, no disk", () =>
    Effect.gen(function* () {
      const { status, text } = yield* ask
      expect([status, JSON.parse(text).result]).toEqual([200, "you said hello"])
    }).pipe(Effect.provide(forge({ claude: new ClaudeScript(({ prompt }) => `you said ${prompt}`) }))),
  )

  it.live("answers a bug of ours with 500 internal, and tells nothing of it", () => {
    const buggy = new ClaudeScript(() => {
      throw new Error("SELECT secret FROM /srv/data")
    })
    return Effect.gen(function* () {
      const { status, text } = yield* ask
      expect([status, JSON.parse(text)]).toMatchObject([500, { ok: false, code: "internal", status: 500 }])
      expect(text).not.toMatch(/SELECT|srv|\.ts|stack/)
    }).pipe(Effect.provide(forge({ claude: buggy })))
  })

  it.live("answers a database that fails with 500 internal, worth a retry, and tells nothing of it", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const token = yield* server.mint("recipes")
      const db = new Sqlite(server.config.dbPath)
      db.exec("ALTER TABLE runs RENAME TO gone")
      db.close()
      const { status, json, text } = yield* server.run(token, { prompt: "SAY hello" })
      expect([status, json.code, json.retryable]).toEqual([500, "internal", true])
      expect(text).not.toMatch(/SELECT|INSERT|table|gone|sqlite|\/tmp/i)
    }).pipe(Effect.scoped),
  )

  it.live("keeps nothing of a prompt in the database, and of an answer only what can be replayed", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const token = yield* server.mint("recipes")
      yield* server.run(token, { prompt: "SAY canary-4f5a", system: "canary-77e1" })
      yield* server.run(token, { prompt: "QUOTE canary-77e1 is the patient" })
      const db = new Sqlite(server.config.dbPath)
      expect(db.serialize().includes("canary-77e1")).toBe(false)
      expect(db.serialize().includes("canary-4f5a")).toBe(true)
      db.exec("PRAGMA secure_delete = ON; DELETE FROM stream_events")
      expect(db.serialize().includes("canary-4f5a")).toBe(false)
      expect(db.prepare("SELECT status FROM runs ORDER BY id").all()).toEqual([
        { status: "completed" },
        { status: "failed" },
      ])
      db.close()
    }).pipe(Effect.scoped),
  )
})
