import { HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Context, Effect, Layer, Logger, Option } from "effect"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { serve } from "../../src/http/Server.ts"
import * as NodeServer from "../../src/infra/http/HttpServer.ts"
import * as NodeConnections from "../../src/infra/http/NodeConnections.ts"
import * as NodeRequestBody from "../../src/infra/http/NodeRequestBody.ts"
import { EventLog } from "../../src/services/EventLog.ts"
import { LiveRuns } from "../../src/services/LiveRuns.ts"
import { Runs } from "../../src/services/Runs.ts"
import * as Mock from "../../src/testing.ts"
import { scriptedClaude, startServer } from "../support/TestServer.ts"

const app = {
  id: "0".repeat(26) as TokenId,
  name: "recipes" as TokenName,
  ipCidrs: [],
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: null,
}

/** The HTTP API on mocks of every service, but for the one that a test is about. */
const served = (runner: ReturnType<typeof Mock.claudeRunner>) => {
  const runs = Runs.layer({ maxConcurrentRuns: 2 }).pipe(
    Layer.provideMerge(LiveRuns.layer()),
    Layer.provideMerge(EventLog.layer),
    Layer.provideMerge(Mock.ledger()),
    Layer.provide([runner, Mock.noFiles, Mock.outputSchemas, Mock.workDirs]),
  )
  return serve({ model: "sonnet", timeoutSecs: 5 }).pipe(
    Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 })),
    Layer.provide([
      runs,
      Mock.noFiles,
      Mock.sessionPool(({ prompt }) => Effect.succeed(Mock.turnReport(`you said ${prompt}`))),
      Mock.admitEverybody(app),
      Mock.tokenStore(new Map([["cf_any", app]])),
      Mock.clis({ claude: Option.some("mock"), acpx: Option.none(), loggedIn: Option.some(true) }),
      Mock.readiness(),
      Mock.retention,
      Mock.eventFeed,
      Mock.idempotency,
      NodeConnections.layer,
      NodeRequestBody.layer({ json: 100_000, form: 100_000 }),
    ]),
    Layer.provide(Mock.ids),
    Layer.provide(Logger.remove(Logger.defaultLogger)),
  )
}

const ask = (url: string) =>
  Effect.promise(async () => {
    const body = JSON.stringify({ prompt: "hello" })
    const headers = { "content-type": "application/json", authorization: "Bearer cf_any" }
    const response = await fetch(`${url}/run`, { method: "POST", headers, body })
    return { status: response.status, text: await response.text() }
  })

describe("the HTTP API", () => {
  it.live("is served on mocks, for a consumer's tests: no process, no disk", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        served(Mock.claudeRunner(({ prompt }) => Effect.succeed(Mock.claudeAnswer(`you said ${prompt}`)))),
      )
      const { status, text } = yield* ask(
        HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address),
      )
      expect([status, JSON.parse(text).result]).toEqual([200, "you said hello"])
    }).pipe(Effect.scoped),
  )

  it.live("answers a bug of ours with 500 internal, and tells nothing of it", () =>
    Effect.gen(function* () {
      const bug = new Error("SELECT secret FROM /srv/data")
      const context = yield* Layer.build(served(Mock.claudeRunner(() => Effect.die(bug))))
      const { status, text } = yield* ask(
        HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address),
      )
      expect([status, JSON.parse(text)]).toMatchObject([500, { ok: false, code: "internal", status: 500 }])
      expect(text).not.toMatch(/SELECT|srv|\.ts|stack/)
    }).pipe(Effect.scoped),
  )

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
