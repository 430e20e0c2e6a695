import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { shared } from "../support/Sessions.ts"
import { ADMIN_TOKEN, overSocket, startServer, type TestServer } from "../support/TestServer.ts"

const PAGE = "https://app.example"

const common = shared(
  startServer({
    corsOrigins: [PAGE],
    allowedHosts: ["forge.example.com"],
    trustedProxies: ["127.0.0.9"],
  }),
)
const onCommon = <A>(test: (server: TestServer) => Effect.Effect<A>) => Effect.suspend(() => test(common()))

const routes = Object.entries(openApiDocument.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, "x")] as const),
)

/** Sends a head as it is, and returns status, code and headers of the answer. */
const ask = (server: TestServer, request: string, lines: ReadonlyArray<string>, from?: string) =>
  Effect.map(
    overSocket(
      server.url,
      [
        `${request}\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nConnection: close\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`,
      ],
      undefined,
      from,
    ),
    (answer) => {
      const [head = ""] = answer.split("\r\n\r\n")
      return {
        status: Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]),
        code: /"code":"(\w+)"/.exec(answer)?.[1],
        header: (name: string) => new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1],
        head,
      }
    },
  )

const REFUSED = { status: 403, code: "origin_not_allowed" }
const ADMIN = "GET /admin/tokens HTTP/1.1"

describe("a page of another origin", () => {
  it.live("is refused on every route, also on one that does not exist", () =>
    onCommon((server) =>
      Effect.gen(function* () {
        expect(routes.length).toBeGreaterThan(20)
        for (const [method, path] of [...routes, ["GET", "/nowhere"], ["OPTIONS", "/run"], ["GET", "/"]]) {
          for (const lines of [
            ["Host: 127.0.0.1", "Origin: http://evil.example"],
            ["Host: 127.0.0.1", "Origin: null"],
            ["Host: evil.example"],
            ["Host: evil.example", "Origin: http://evil.example"],
          ]) {
            const { status, code } = yield* ask(server, `${method} ${path} HTTP/1.1`, lines)
            expect({ method, path, lines, status, code }).toEqual({ method, path, lines, ...REFUSED })
          }
        }
      }),
    ),
  )

  it.live("is refused before its preflight gets an answer, and gets no CORS header", () =>
    onCommon((server) =>
      Effect.gen(function* () {
        const answer = yield* ask(server, "OPTIONS /run HTTP/1.1", [
          "Host: localhost",
          "Origin: http://evil.example",
          "Access-Control-Request-Method: POST",
        ])
        expect(answer).toMatchObject(REFUSED)
        expect(answer.head).not.toMatch(/^access-control-/im)
      }),
    ),
  )

  it.live("is in the audit trail", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer()
        yield* ask(server, ADMIN, ["Host: localhost", "Origin: http://evil.example"])
        yield* ask(server, ADMIN, ["Host: evil.example"])
        const events = yield* server
          .request("GET", "/events?type=admission.refused", { token: ADMIN_TOKEN })
          .pipe(Effect.repeat({ until: ({ json }) => json.events.length === 2 }))
        expect(events.json.events.map(({ data }: any) => [data.code, data.reason]).toSorted()).toEqual([
          ["origin_not_allowed", "host"],
          ["origin_not_allowed", "origin"],
        ])
      }),
    ),
  )
})

describe("the service's own page, and a program", () => {
  it.live.each<[string, string, ReadonlyArray<string>]>([
    ["with an address", ADMIN, ["Host: 127.0.0.1:8800", "Origin: http://127.0.0.1:8800"]],
    ["with an IPv6 address", ADMIN, ["Host: [::1]:8800", "Origin: http://[::1]:8800"]],
    ["with a name of the network", ADMIN, ["Host: forge.lan", "Origin: http://forge.lan"]],
    ["with an allowed name", ADMIN, ["Host: forge.example.com", "Origin: https://forge.example.com"]],
    ["without an Origin", ADMIN, ["Host: localhost"]],
    ["without a Host, in HTTP/1.0", "GET /admin/tokens HTTP/1.0", []],
    ["without a Host", ADMIN, []],
    [
      "with an absolute target, whose host counts",
      "GET http://forge.lan/admin/tokens HTTP/1.1",
      ["Host: evil.example", "Origin: http://forge.lan"],
    ],
  ])("gets its answer: %s", ([, request, lines]) =>
    onCommon((server) =>
      Effect.gen(function* () {
        const answer = yield* ask(server, request, lines)
        expect(answer.status).toBe(200)
        expect(answer.head).not.toMatch(/^access-control-/im)
      }),
    ),
  )

  it.live.each<[string, string, ReadonlyArray<string>, number]>([
    [
      "a name that could be anybody's in an absolute target",
      "http://evil.example/admin/tokens",
      ["Host: localhost"],
      403,
    ],
    ["two hosts", "/admin/tokens", ["Host: localhost", "Host: localhost"], 400],
    ["two hosts, one of them anybody's", "/admin/tokens", ["Host: localhost", "host: evil.example"], 400],
    ["two hosts in one line", "/admin/tokens", ["Host: localhost, evil.example"], 400],
    [
      "two origins",
      "/admin/tokens",
      ["Host: localhost", "Origin: http://localhost", "Origin: http://evil.example"],
      403,
    ],
    ["no host", "/admin/tokens", ["Host: a b"], 400],
    ["another port", "/admin/tokens", ["Host: localhost:8800", "Origin: http://localhost:3000"], 403],
  ])("is refused with %s", ([, target, lines, status]) =>
    onCommon((server) =>
      Effect.map(ask(server, `GET ${target} HTTP/1.1`, lines), (answer) => {
        expect([answer.status, answer.code]).toEqual([
          status,
          status === 403 ? "origin_not_allowed" : "invalid_request",
        ])
      }),
    ),
  )

  it.live("behind a proxy is known by what the proxy forwards, if it is a trusted one", () =>
    onCommon((server) =>
      Effect.gen(function* () {
        const lines = [
          "Host: 127.0.0.1:8800",
          "Origin: https://forge.example.com:8443",
          "X-Forwarded-Host: forge.example.com:8443",
          "X-Forwarded-Proto: https",
        ]
        const trusted = [...lines, "X-Forwarded-For: 127.0.0.1"]
        expect((yield* ask(server, ADMIN, trusted, "127.0.0.9")).status).toBe(200)
        expect(yield* ask(server, ADMIN, lines)).toMatchObject(REFUSED)
        const rebound = trusted.map((line) => line.replaceAll("forge.example.com", "evil.example"))
        expect(yield* ask(server, ADMIN, rebound, "127.0.0.9")).toMatchObject(REFUSED)
      }),
    ),
  )
})

describe("a page whose origin is in CORS_ORIGINS", () => {
  const page = ["Host: localhost", `Origin: ${PAGE}`]

  it.live("may read every answer, also a problem and a stream, and never with credentials", () =>
    onCommon((server) =>
      Effect.gen(function* () {
        for (const [target, status] of [
          ["/admin/tokens", 200],
          ["/healthz", 200],
          ["/nowhere", 404],
          ["/run", 405],
          ["/runs?limit=0", 400],
        ] as const) {
          const answer = yield* ask(server, `GET ${target} HTTP/1.1`, page)
          expect(answer.status).toBe(status)
          expect(answer.header("access-control-allow-origin")).toBe(PAGE)
          expect(answer.header("vary")).toBe("Origin")
          expect(answer.header("access-control-expose-headers")).toContain("X-Run-Id")
          expect(answer.head).not.toMatch(/allow-credentials/i)
        }
        const stream = yield* overSocket(
          server.url,
          [
            `GET /events/stream HTTP/1.1\r\nHost: localhost\r\nOrigin: ${PAGE}\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n\r\n`,
          ],
          /\r\n\r\n/,
        )
        expect(stream).toMatch(/^HTTP\/1\.1 200 /)
        expect(stream).toContain(`access-control-allow-origin: ${PAGE}`)
      }),
    ),
  )

  it.live("gets an answer to its preflight, without a token", () =>
    onCommon((server) =>
      Effect.gen(function* () {
        const preflight = (path: string) =>
          server.request("OPTIONS", path, {
            headers: {
              origin: PAGE,
              "access-control-request-method": "POST",
              "access-control-request-headers": "authorization,content-type,idempotency-key",
            },
          })
        const answer = yield* preflight("/sessions")
        expect([answer.status, answer.text]).toEqual([204, ""])
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          "access-control-allow-origin": PAGE,
          "access-control-allow-methods": expect.stringMatching(/POST/),
          "access-control-allow-headers": "authorization,content-type,idempotency-key",
          "access-control-max-age": "600",
          vary: "Origin",
        })
        expect(answer.headers.has("access-control-allow-credentials")).toBe(false)
        expect((yield* preflight("/nowhere")).status).toBe(404)
      }),
    ),
  )
})
