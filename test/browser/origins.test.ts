import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Page } from "playwright-core"
import { openTab } from "../support/Browser.ts"
import { scriptedClaude, startServer, temporaryDirectory } from "../support/TestServer.ts"

/** Somebody's web page, under any host name. */
const pageServer = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer((_, response) =>
      response.setHeader("content-type", "text/html").end("<title>an app</title>"),
    )
    server.listen(0, "127.0.0.1", () =>
      resume(
        Effect.succeed({ port: (server.address() as AddressInfo).port, close: () => void server.close() }),
      ),
    )
  }),
  ({ close }) => Effect.sync(close),
)

/** Sends a run from the page that is open, and returns its answer, or how the browser forbids it. */
const run = (page: Page, url: string, token: string) =>
  page.evaluate(
    async ([url, token]) => {
      try {
        const response = await fetch(`${url}/run`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${token}`,
            "content-type": "application/json",
            "idempotency-key": "from-a-page",
          },
          body: JSON.stringify({ prompt: "SAY hello" }),
        })
        return [
          response.status,
          ((await response.json()) as { readonly result?: string }).result,
          response.headers.has("x-run-id"),
        ]
      } catch (error) {
        return String(error)
      }
    },
    [url, token] as const,
  )

describe("a browser", { timeout: 300_000 }, () => {
  it.live(
    "lets the pages of CORS_ORIGINS use the service, and no others, by whatever name they reach it",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { port } = yield* pageServer
          const settings = {
            claudeBin: Option.some(scriptedClaude),
            corsOrigins: [`http://app.example:${port}`],
            allowedHosts: ["forge.example"],
          }
          const server = yield* startServer(settings, yield* temporaryDirectory)
          const token = yield* server.mint("recipes")
          const { page } = yield* openTab(["app.example", "evil.example", "forge.example"])
          const service = (host: string) => `http://${host}:${new URL(server.url).port}`

          yield* Effect.promise(async () => {
            await page.goto(`http://app.example:${port}/`)
            expect(await run(page, service("127.0.0.1"), token)).toEqual([200, "hello", true])
            expect(await run(page, service("forge.example"), token)).toEqual([200, "hello", true])

            await page.goto(`http://evil.example:${port}/`)
            expect(await run(page, service("127.0.0.1"), token)).toBe("TypeError: Failed to fetch")

            // DNS rebinding: the page's own name leads to the service.
            expect((await page.goto(`${service("evil.example")}/healthz`))?.status()).toBe(403)
            expect(await run(page, service("evil.example"), token)).toEqual([403, undefined, false])

            expect((await page.goto(`${service("forge.example")}/healthz`))?.status()).toBe(200)
            expect(await run(page, service("forge.example"), token)).toEqual([200, "hello", true])
          })
        }),
      ),
  )
})
