import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { makeDocsPage } from "../../src/http/DocsPage.ts"
import { shared } from "../support/Sessions.ts"
import { scriptedClaude, startServer, type TestServer } from "../support/TestServer.ts"

const common = shared(startServer({ claudeBin: Option.some(scriptedClaude) }))

const withServer = <A>(test: (server: TestServer) => Effect.Effect<A>) => Effect.suspend(() => test(common()))

const policyOf = (headers: Headers) =>
  Object.fromEntries(
    (headers.get("content-security-policy") ?? "").split("; ").map((directive) => {
      const [name = "", ...sources] = directive.split(" ")
      return [name, sources]
    }),
  )

describe("GET /livez", () => {
  it.live("answers ok while the process is up, without a token", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const { status, headers, text } = yield* server.request("GET", "/livez")
        expect([status, headers.get("content-type"), text]).toEqual([
          200,
          "text/plain; charset=utf-8",
          "ok\n",
        ])
        const head = yield* server.request("HEAD", "/livez")
        expect([head.status, head.headers.get("content-length"), head.text]).toEqual([200, "3", ""])
        const refused = yield* server.request("GET", "/livez", { headers: { "x-forwarded-for": "10.0.0.9" } })
        expect(refused.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
      }),
    ),
  )
})

describe("GET /readyz", () => {
  it.live("has a line for each check, without a token", () =>
    withServer((server) =>
      Effect.gen(function* () {
        // The login is checked in the background.
        const { status, headers, text } = yield* server
          .request("GET", "/readyz")
          .pipe(Effect.repeat({ until: ({ text }) => !text.includes("not known") }))
        expect([status, headers.get("content-type")]).toEqual([200, "text/plain; charset=utf-8"])
        expect(text.split("\n")).toEqual([
          "ok service: takes work",
          "ok database: can be written to",
          expect.stringMatching(/^ok disk: \d+ MiB free$/),
          "ok directories: can be written to",
          "ok processes: can be started",
          "ok claude: 0.0.1 (scripted)",
          "ok login: present",
          "ok acpx: 0.0.1 (scripted)",
          "",
        ])
        const refused = yield* server.request("GET", "/readyz", {
          headers: { "x-forwarded-for": "10.0.0.9" },
        })
        expect(refused.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
      }),
    ),
  )

  it.live("is 503 if something is missing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer({ claudeBin: Option.some("/nowhere/claude") })
        const { status, text } = yield* server.request("GET", "/readyz")
        expect(status).toBe(503)
        expect(text).toContain("fail claude: cannot be started: install it again, or see CLAUDE_BIN\n")
        expect(text).toContain("ok database: can be written to\n")
      }),
    ),
  )
})

describe("GET /docs", () => {
  it.live("is a page of this API's document, without a token", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const { status, headers, text } = yield* server.request("GET", "/docs")
        expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"])
        const [, shown] = /<script id="api-reference" type="application\/json">([^<]*)</.exec(text) ?? []
        expect(JSON.parse(shown ?? "")).toEqual((yield* server.request("GET", "/openapi.json")).json)
        const refused = yield* server.request("GET", "/docs", { headers: { "x-forwarded-for": "10.0.0.9" } })
        expect(refused.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
      }),
    ),
  )

  it.live("has a policy: its own scripts only, and connections to this service only", () =>
    withServer((server) =>
      Effect.map(server.request("GET", "/docs"), ({ headers }) => {
        const { "script-src": scripts, ...policy } = policyOf(headers)
        expect(policy).toEqual({
          "default-src": ["'none'"],
          "connect-src": ["'self'"],
          "style-src": ["'unsafe-inline'"],
          "img-src": ["data:"],
          "base-uri": ["'none'"],
          "form-action": ["'none'"],
          "frame-ancestors": ["'none'"],
        })
        for (const source of scripts ?? [])
          expect(source).toMatch(/^'(wasm-unsafe-eval|sha256-[\w+/]{43}=)'$/)
        expect(headers.get("x-content-type-options")).toBe("nosniff")
        expect(headers.get("referrer-policy")).toBe("no-referrer")
      }),
    ),
  )

  it.live("is 304 for a browser that has the page", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const first = yield* server.request("GET", "/docs")
        expect(first.headers.get("cache-control")).toBe("no-cache")
        const etag = first.headers.get("etag") ?? ""
        expect(etag).toMatch(/^"[^"]+"$/)
        const again = yield* server.request("GET", "/docs", {
          headers: { "if-none-match": `"another", W/${etag}` },
        })
        expect([again.status, again.text, again.headers.get("etag")]).toEqual([304, "", etag])
        const outdated = yield* server.request("GET", "/docs", { headers: { "if-none-match": `"another"` } })
        expect([outdated.status, outdated.text.length]).toEqual([200, first.text.length])
      }),
    ),
  )

  it.live("answers GET and HEAD", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const posted = yield* server.request("POST", "/docs", { body: {} })
        expect(posted.json).toMatchObject({ status: 405, code: "method_not_allowed" })
        expect(posted.headers.get("allow")).toBe("GET, HEAD")
        const head = yield* server.request("HEAD", "/docs")
        expect([head.status, head.text]).toEqual([200, ""])
        expect(Number(head.headers.get("content-length"))).toBeGreaterThan(1_000_000)
      }),
    ),
  )

  it.live("is built once, also if the first client disconnects meanwhile", () =>
    Effect.gen(function* () {
      const page = yield* makeDocsPage
      const first = yield* Effect.fork(page)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      expect(yield* page).toBe(yield* page)
    }).pipe(Effect.scoped),
  )
})

describe("the Accept header", () => {
  const accept = { accept: "image/png" }

  it.live.each(["/healthz", "/livez", "/livez?", "/docs"])("does not matter to %s", (path) =>
    withServer((server) =>
      Effect.map(server.request("GET", path, { headers: accept }), ({ status }) => expect(status).toBe(200)),
    ),
  )

  it.live.each(["/openapi.json", "/healthz-of-another", "/livez/more", "/docs/more", "/nowhere?/livez"])(
    "matters to %s",
    (path) =>
      withServer((server) =>
        Effect.map(server.request("GET", path, { headers: accept }), ({ json }) =>
          expect(json).toMatchObject({ status: 406, code: "not_acceptable" }),
        ),
      ),
  )
})
