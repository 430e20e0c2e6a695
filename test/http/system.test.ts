import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { scriptedClaude, startServer, type TestServer } from "../support/TestServer.ts"

const withServer = <A>(test: (server: TestServer) => Effect.Effect<A>) =>
  Effect.scoped(Effect.flatMap(startServer({ claudeBin: Option.some(scriptedClaude) }), test))

describe("GET /livez", () => {
  it.live("says ok as long as the process is up, to anybody who may ask", () =>
    withServer((server) =>
      Effect.gen(function* () {
        const { status, headers, text } = yield* server.request("GET", "/livez")
        expect([status, headers.get("content-type"), text]).toEqual([200, "text/plain", "ok\n"])
        const head = yield* server.request("HEAD", "/livez")
        expect([head.status, head.headers.get("content-length"), head.text]).toEqual([200, "3", ""])
        const refused = yield* server.request("GET", "/livez", { headers: { "x-forwarded-for": "10.0.0.9" } })
        expect(refused.json).toMatchObject({ status: 403, code: "ip_not_allowed" })
      }),
    ),
  )
})

describe("the Accept header", () => {
  const accept = { accept: "image/png" }

  it.live.each(["/healthz", "/livez", "/livez?probe=1"])("does not matter to %s", (path) =>
    withServer((server) =>
      Effect.map(server.request("GET", path, { headers: accept }), ({ status }) => expect(status).toBe(200)),
    ),
  )

  it.live.each(["/openapi.json", "/healthz-of-another", "/livez/more", "/?/livez"])("matters to %s", (path) =>
    withServer((server) =>
      Effect.map(server.request("GET", path, { headers: accept }), ({ json }) =>
        expect(json).toMatchObject({ status: 406, code: "not_acceptable" }),
      ),
    ),
  )
})
