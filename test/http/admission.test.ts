import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { claudeProcesses } from "../support/ProcessTable.ts"
import { shared } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  type Answer,
  eventually,
  scriptedClaude,
  startServer,
  type TestServer,
} from "../support/TestServer.ts"

const withServer = <A>(
  test: (server: TestServer) => Effect.Effect<A>,
  overrides: Parameters<typeof startServer>[0] = {},
) =>
  Effect.scoped(Effect.flatMap(startServer({ claudeBin: Option.some(scriptedClaude), ...overrides }), test))

/** For what leaves nothing behind. */
const common = shared(startServer({ claudeBin: Option.some(scriptedClaude) }))
const onCommon = <A>(test: (server: TestServer) => Effect.Effect<A>) => Effect.suspend(() => test(common()))

const say = { prompt: "SAY hello" }

/** The same, but for what differs between any two requests. */
const anonymous = ({ status, text, headers }: Answer) => ({
  status,
  text: text.replace(/"request_id":"[^"]+"/, ""),
  headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
})

describe("an app's bearer token", () => {
  it.live("lets the app in", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes")
        expect(token).toMatch(/^cf_[\w-]{43}$/)
        expect((yield* server.run(token, say)).json.result).toBe("hello")
      }),
    ),
  )

  it.live("may be sent under any spelling of the scheme", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes")
        for (const scheme of ["Bearer", "bearer", "BEARER"]) {
          const answer = yield* server.request("POST", "/run", {
            body: say,
            headers: { authorization: `${scheme} ${token}` },
          })
          expect(answer.status).toBe(200)
        }
      }),
    ),
  )

  it.live("that is missing, in a wrong scheme, unknown or revoked answers 401, byte for byte the same", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const revoked = yield* server.mint("recipes")
        yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
        const missing = yield* server.request("POST", "/run", { body: say })
        expect(missing.json).toMatchObject({
          ok: false,
          status: 401,
          code: "unauthorized",
          error: expect.any(String),
        })
        expect(missing.headers.get("www-authenticate")).toBe("Bearer")
        for (const authorization of [
          `Basic ${revoked}`,
          revoked,
          "Bearer",
          "Bearer ",
          "Bearer cf_unknown",
          `Bearer ${revoked}`,
        ]) {
          const other = yield* server.request("POST", "/run", { body: say, headers: { authorization } })
          expect(anonymous(other)).toEqual(anonymous(missing))
        }
        const inQuery = yield* server.request("POST", `/run?token=${revoked}`, { body: say })
        expect(anonymous(inQuery)).toEqual(anonymous(missing))
      }),
    ),
  )

  it.live("is asked for before the body is looked at", () =>
    withServer((server) =>
      Effect.map(server.request("POST", "/run", { body: "{not json" }), ({ status }) =>
        expect(status).toBe(401),
      ),
    ),
  )

  it.live("is refused from an address outside its own ip_cidrs, loopback or not", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const elsewhere = yield* server.mint("elsewhere", ["192.168.0.0/16"])
        const here = yield* server.mint("here", ["192.168.0.0/16", "::ffff:127.0.0.0/104"])
        const refused = yield* server.run(elsewhere, say)
        expect(refused.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
        expect((yield* server.run(here, say)).status).toBe(200)
      }),
    ),
  )

  it.live("that is revoked while its run is at work ends the run at once", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes")
        const waiting = yield* Effect.fork(server.run(token, { prompt: "HOLD" }))
        yield* eventually(() => expect(claudeProcesses(server.config.runsDir)).not.toEqual([]))
        yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
        expect((yield* waiting).json).toMatchObject({ status: 401, code: "unauthorized" })
        expect(claudeProcesses(server.config.runsDir)).toEqual([])
      }),
    ),
  )

  it.live("does not open the admin routes, nor does the admin's open the apps'", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes")
        expect((yield* server.request("GET", "/admin/tokens", { token })).status).toBe(401)
        for (const [method, path] of [
          ["POST", "/run"],
          ["POST", "/sessions"],
          ["POST", "/files"],
          ["GET", "/sessions"],
        ] as const) {
          const answer = yield* server.request(method, path, { token: ADMIN_TOKEN })
          expect([answer.status, answer.json.error]).toEqual([
            401,
            "this is the operator's token, and this route takes an app's (cf_…); POST /admin/tokens makes one",
          ])
        }
      }),
    ),
  )
})

describe("the address of a request", () => {
  it.live("on loopback passes, unless it forwards for somebody", () =>
    withServer((server) =>
      Effect.gen(function* () {
        expect((yield* server.request("GET", "/healthz")).status).toBe(200)
        const forwarded = yield* server.request("GET", "/healthz", {
          headers: { "x-forwarded-for": "10.0.0.9" },
        })
        expect(forwarded.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
      }),
    ),
  )

  it.live("is checked on every route, also one that does not exist", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const headers = { "x-forwarded-for": "127.0.0.1" }
        for (const [method, path] of [
          ["GET", "/openapi.json"],
          ["POST", "/run"],
          ["GET", "/admin/tokens"],
          ["GET", "/nowhere"],
        ] as const) {
          expect((yield* server.request(method, path, { headers, token: ADMIN_TOKEN })).status).toBe(403)
        }
      }),
    ),
  )
})

describe("the admin's routes", () => {
  it.live("mint, list and revoke", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const admin = (method: string, path: string, body?: unknown) =>
          server.request(method, path, { token: ADMIN_TOKEN, ...(body === undefined ? {} : { body }) })
        const minted = yield* admin("POST", "/admin/tokens", { name: "recipes", ip_cidrs: ["127.0.0.0/8"] })
        expect(minted.json).toEqual({
          ok: true,
          name: "recipes",
          token: expect.stringMatching(/^cf_/),
          ip_cidrs: ["127.0.0.0/8"],
          created_at: expect.any(Number),
        })
        expect(minted.json.created_at).toBeCloseTo(Date.now() / 1000, -1)
        expect((yield* admin("POST", "/admin/tokens", { name: "recipes" })).json).toMatchObject({
          status: 409,
          code: "conflict",
        })

        const listed = yield* admin("GET", "/admin/tokens")
        expect(listed.json).toEqual({
          ok: true,
          tokens: [
            {
              name: "recipes",
              ip_cidrs: ["127.0.0.0/8"],
              created_at: minted.json.created_at,
              last_used_at: null,
              revoked_at: null,
            },
          ],
        })

        const revoke = admin("DELETE", "/admin/tokens/recipes")
        expect((yield* revoke).json).toEqual({ ok: true, name: "recipes", already_revoked: false })
        expect((yield* revoke).json).toEqual({ ok: true, name: "recipes", already_revoked: true })
        expect((yield* server.run(minted.json.token, say)).status).toBe(401)
        expect((yield* admin("DELETE", "/admin/tokens/nobody")).json).toMatchObject({
          status: 404,
          code: "not_found",
        })
        expect((yield* admin("POST", "/admin/tokens", { name: "recipes", ip_cidrs: null })).status).toBe(200)
      }),
    ),
  )

  it.live.each([
    [{}, "name"],
    [{ name: "" }, "name"],
    [{ name: "Recipes" }, "name"],
    [{ name: "a".repeat(65) }, "name"],
    [{ name: "recipes", ip_cidrs: ["everyone"] }, "ip_cidrs"],
    [{ name: "recipes", ip_cidrs: "10.0.0.0/8" }, "ip_cidrs"],
    [{ name: "recipes", ip_cidr: [] }, "ip_cidr"],
  ])("refuse %j", ([body, field]) =>
    onCommon((server) =>
      Effect.map(
        server.request("POST", "/admin/tokens", { token: ADMIN_TOKEN, body }),
        ({ status, json }) => {
          expect([status, json.code]).toEqual([400, "invalid_request"])
          expect(json.issues[0].path[0]).toBe(field)
        },
      ),
    ),
  )
})
