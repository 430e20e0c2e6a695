import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import {
  ADMIN_TOKEN,
  eventually,
  overSocket,
  scriptedClaude,
  startServer,
  temporaryDirectory,
  type TestServer,
} from "../support/TestServer.ts"

const withServer = <A>(test: (server: TestServer) => Effect.Effect<A>) =>
  Effect.scoped(
    Effect.flatMap(
      startServer({
        claudeBin: Option.some(scriptedClaude),
        allowCidrs: ["10.0.0.0/8"],
        trustedProxies: ["127.0.0.1"],
      }),
      test,
    ),
  )

interface Row {
  readonly at: number
  readonly address: string
  readonly token: string | null
  readonly code: string
  readonly reason: string
  readonly count: number
  readonly request_id: string
}

const query = <A>({ dbPath }: TestServer["config"], sql: string) => {
  const db = new Sqlite(dbPath, { readonly: true })
  const rows = db.prepare<[], A>(sql).all()
  db.close()
  return rows
}

const refusals = (config: TestServer["config"]) =>
  query<Row>(
    config,
    `SELECT at, address, token, code, data ->> 'reason' AS reason, count, request_id
     FROM audit WHERE type = 'admission.refused' ORDER BY seq`,
  )

const total = (rows: ReadonlyArray<Row>) => rows.reduce((sum, { count }) => sum + count, 0)

describe("a refused request", () => {
  it.live("is in the audit trail: from where, why, and whose token it was; never a token's text", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes", ["10.0.0.9"])
        const ask = (path: string, bearer: string | undefined, hops: string | undefined, id: string) =>
          server.request(path === "/run" ? "POST" : "GET", path, {
            ...(bearer === undefined ? {} : { token: bearer }),
            ...(path === "/run" ? { body: { prompt: "SAY hello" } } : {}),
            headers: { "x-request-id": id, ...(hops === undefined ? {} : { "x-forwarded-for": hops }) },
          })
        const statuses = [
          yield* ask("/healthz", undefined, "203.0.113.5", "a"),
          yield* ask("/nowhere", undefined, "10.0.0.8, rubbish", "b"),
          yield* ask("/run", token, "10.0.0.8", "c"),
          yield* ask("/run", "cf_nobodys-secret", "10.0.0.8", "d"),
          yield* ask("/run", undefined, "10.0.0.7", "e"),
          yield* ask("/admin/tokens", token, undefined, "f"),
          yield* ask("/admin/tokens", ADMIN_TOKEN, "10.0.0.9", "g"),
          yield* ask("/run", token, "10.0.0.9", "h"),
        ].map(({ status }) => status)
        expect(statuses).toEqual([403, 403, 403, 401, 401, 401, 200, 200])
        yield* overSocket(
          server.url,
          ["GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.9\r\nX-Request-Id: i\r\n\r\n"],
          /\r\n\r\n/,
          "127.0.0.2",
        )
        yield* eventually(() => expect(refusals(server.config)).toHaveLength(7))
        const at = expect.closeTo(Date.now(), -5)
        const address = { at, code: "ip_not_allowed", token: null, count: 1 }
        const bearer = { at, code: "unauthorized", token: null, count: 1 }
        expect(refusals(server.config)).toEqual([
          { ...address, address: "203.0.113.5", reason: "service", request_id: "a" },
          { ...address, address: "127.0.0.1", reason: "unreadable_hop", request_id: "b" },
          { ...address, address: "10.0.0.8", reason: "token", request_id: "c", token: "recipes" },
          { ...bearer, address: "10.0.0.8", reason: "bearer", request_id: "d" },
          { ...bearer, address: "10.0.0.7", reason: "bearer", request_id: "e" },
          { ...bearer, address: "127.0.0.1", reason: "admin_bearer", request_id: "f" },
          { ...address, address: "127.0.0.2", reason: "undeclared_proxy", request_id: "i" },
        ])
        const log = JSON.stringify(query(server.config, "SELECT * FROM events"))
        for (const secret of [token, "nobodys-secret", ADMIN_TOKEN]) expect(log).not.toContain(secret)
      }),
    ),
  )

  it.live("is one of a thousand in a row or two, not in a thousand rows", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const from = Date.now()
        const request = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n"
        const last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
        const answers = yield* overSocket(server.url, [request.repeat(999) + last])
        const seconds = Math.floor(Date.now() / 1000) - Math.floor(from / 1000) + 1
        expect(answers.match(/HTTP\/1\.1 403 /g)).toHaveLength(1000)
        yield* eventually(() => expect(total(refusals(server.config))).toBe(1000))
        expect(refusals(server.config).length).toBeLessThanOrEqual(seconds)
        expect(new Set(refusals(server.config).map(({ at }) => at)).size).toBe(refusals(server.config).length)
      }),
    ),
  )

  it.live("is in the audit trail also when the service is stopped right after it", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const { config } = yield* startServer({}, dataDir).pipe(
        Effect.tap((server) =>
          server.request("GET", "/livez", { headers: { "x-forwarded-for": "10.0.0.1" } }),
        ),
        Effect.scoped,
      )
      expect(refusals(config)).toMatchObject([{ address: "127.0.0.1", reason: "undeclared_proxy", count: 1 }])
    }).pipe(Effect.scoped),
  )
})
