import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Page, Request } from "playwright-core"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { openTab, type Tab } from "../support/Browser.ts"
import {
  ADMIN_TOKEN,
  scriptedClaude,
  startServer,
  temporaryDirectory,
  type TestServer,
} from "../support/TestServer.ts"

const withDocs = (test: (tab: Tab, server: TestServer) => Effect.Effect<void>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const tab = yield* openTab()
      const response = yield* Effect.promise(() => tab.page.goto(`${server.url}/docs`))
      expect(response?.status()).toBe(200)
      yield* Effect.promise(() => tab.page.getByRole("heading", { name: "clawdforge" }).waitFor())
      yield* test(tab, server)
    }),
  )

const routes = Object.entries(openApiDocument.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => `${method} ${path}`),
)

const tryButton = (page: Page, route: string) =>
  page.getByRole("button", { name: `Test Request (${route})`, exact: true })

/** Sends the example of a route from the page, and returns the request. */
const send = async (page: Page, route: string): Promise<Request> => {
  await tryButton(page, route).click()
  const client = page.getByRole("dialog")
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().resourceType() === "fetch"),
    client.getByRole("button", { name: "Send" }).first().click(),
  ])
  await client.getByText(String(answer.status())).first().waitFor()
  await page.keyboard.press("Escape")
  await client.waitFor({ state: "hidden" })
  return answer.request()
}

describe("the page at /docs", { timeout: 300_000 }, () => {
  it.live("shows every route, logs no error, and contacts this service only", () =>
    withDocs(({ page, requested, complaints }, server) =>
      Effect.gen(function* () {
        for (const route of routes) {
          yield* Effect.promise(() => tryButton(page, route).scrollIntoViewIfNeeded())
          expect([route, yield* Effect.promise(() => tryButton(page, route).isVisible())]).toEqual([
            route,
            true,
          ])
        }
        expect(new Set(requested.map((url) => new URL(url).origin))).toEqual(new Set([server.url]))
        expect(complaints).toEqual([])
      }),
    ),
  )

  it.live("begins with a quick start, authentication and the codes", () =>
    withDocs(({ page }) =>
      Effect.promise(async () => {
        for (const name of ["Quick start", "Authentication", "Errors"]) {
          await page.getByRole("heading", { name, exact: true }).first().waitFor()
        }
        await page.getByRole("row", { name: "429 quota_exceeded" }).waitFor()
      }),
    ),
  )

  it.live("is not blank", () =>
    withDocs(({ page }) =>
      Effect.gen(function* () {
        const path = join(yield* temporaryDirectory, "docs.png")
        const picture = yield* Effect.promise(() => page.screenshot({ path }))
        yield* Effect.promise(() => page.goto("about:blank"))
        const blank = yield* Effect.promise(() => page.screenshot())
        expect(picture.length).toBeGreaterThan(5 * blank.length)
      }).pipe(Effect.scoped),
    ),
  )

  it.live("tries a route with the typed token: the app's, or the operator's if that is selected", () =>
    withDocs(({ page }, server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes")
        yield* Effect.promise(async () => {
          await page.getByPlaceholder("Token").first().fill(token)
          for (const route of ["post /run", "get /runs", "post /files", "get /events"]) {
            const asked = await send(page, route)
            expect([route, asked.headers()["authorization"]]).toEqual([route, `Bearer ${token}`])
            // What is optional is left out: a key of the example would make an edited example a 409.
            expect(new URL(asked.url()).search).toBe("")
            expect(asked.headers()).not.toHaveProperty("idempotency-key")
            expect(asked.headers()).not.toHaveProperty("last-event-id")
          }

          await page.getByRole("button", { name: "Auth Type" }).first().click()
          await page.getByRole("option", { name: "app" }).click()
          await page.getByRole("option", { name: "admin" }).click()
          await page.keyboard.press("Escape")
          await page.getByPlaceholder("Token").first().fill(ADMIN_TOKEN)
          const asked = await send(page, "get /admin/tokens")
          expect(asked.headers()["authorization"]).toBe(`Bearer ${ADMIN_TOKEN}`)
          await tryButton(page, "get /admin/tokens").click()
          await page.getByRole("dialog").getByText('"recipes"').waitFor()
        })
      }),
    ),
  )
})
