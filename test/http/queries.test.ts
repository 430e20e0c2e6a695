import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { startForge, ADMIN_TOKEN } from "../support/TestServer.ts"

interface Operation {
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly in: string }>
  readonly security: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const routes = Object.entries(openApiDocument.paths).flatMap(([path, methods]) =>
  Object.entries(methods as unknown as Readonly<Record<string, Operation>>).map(
    ([method, { parameters, security }]) => ({
      method: method.toUpperCase(),
      path: path.replaceAll(/\{\w+\}/g, "x"),
      queries: parameters.flatMap(({ name, in: place }) => (place === "query" ? [name] : [])),
      token: Object.keys(security[0] ?? {})[0],
    }),
  ),
)

const withForge = (
  test: (forge: Effect.Effect.Success<ReturnType<typeof startForge>>) => Effect.Effect<void>,
) => Effect.scoped(Effect.flatMap(startForge(), test))

describe("a query", () => {
  it.live("with an unknown parameter is refused on every route, after the token", () =>
    withForge(({ request, forge }) =>
      Effect.gen(function* () {
        expect(routes.length).toBeGreaterThan(20)
        for (const { method, path, token, queries } of [
          ...routes,
          { method: "GET", path: "/", queries: [], token: undefined },
        ]) {
          const body = method === "POST" ? { body: queries.length > 0 ? { prompt: "hello" } : {} } : {}
          const own = token === undefined ? {} : { token: token === "admin" ? ADMIN_TOKEN : forge.token }
          const unknown = yield* request(method, `${path}?nosuch=1&nosuch=2`, { ...body, ...own })
          expect([method, path, unknown.status, unknown.json.issues]).toEqual([
            method,
            path,
            400,
            [{ path: ["nosuch"], message: "is not a known field" }],
          ])
          if (token !== undefined) {
            expect((yield* request(method, `${path}?nosuch=1`, body)).status).toBe(401)
          }
          for (const name of queries) {
            const twice = yield* request(method, `${path}?${name}=1&${name}=1`, { ...body, ...own })
            expect([method, path, twice.status, twice.json.issues]).toEqual([
              method,
              path,
              400,
              [{ path: [name], message: "is there twice" }],
            ])
          }
        }
        const both = yield* request("GET", "/runs?a=1&limit=1&limit=2", { token: forge.token })
        expect(both.json.error).toBe("a is not a known field; limit is there twice")
      }),
    ),
  )
})

describe("HEAD", () => {
  it.live("is answered where GET is, with its status and headers and no body; a stream ends", () =>
    withForge(({ request, run, forge }) =>
      Effect.gen(function* () {
        const { headers } = yield* run(forge.token, { prompt: "hello" })
        const runId = headers.get("x-run-id") ?? ""
        for (const { method, path, token } of routes) {
          const target = path.replace("/runs/x", `/runs/${runId}`)
          const own = token === undefined ? {} : { token: token === "admin" ? ADMIN_TOKEN : forge.token }
          if (method === "GET") {
            const head = yield* request("HEAD", target, own)
            expect([target, head.text]).toEqual([target, ""])
            // This stream does not end.
            if (target === "/events/stream") {
              expect([head.status, head.headers.get("content-type")]).toEqual([
                200,
                "text/event-stream; charset=utf-8",
              ])
              continue
            }
            const get = yield* request("GET", target, own)
            expect([target, head.status, head.headers.get("content-type")]).toEqual([
              target,
              get.status,
              get.headers.get("content-type"),
            ])
          } else if (!routes.some((other) => other.path === path && other.method === "GET")) {
            const head = yield* request("HEAD", path, own)
            expect([path, head.status, head.headers.get("allow")?.includes("HEAD")]).toEqual([
              path,
              405,
              false,
            ])
          }
        }
      }),
    ),
  )
})

describe("GET /", () => {
  it.live("leads to the docs", () =>
    withForge(({ forge }) =>
      Effect.promise(async () => {
        for (const method of ["GET", "HEAD"]) {
          const response = await forge.fetch("/", {
            method,
            redirect: "manual",
            headers: { accept: "text/html" },
          })
          expect([response.status, response.headers.get("location")]).toEqual([302, "/docs"])
        }
        const post = await forge.fetch("/", { method: "POST" })
        expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"])
      }),
    ),
  )
})
