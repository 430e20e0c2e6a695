import { existsSync } from "node:fs"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { chromium, type Page } from "playwright-core"

const executable = (): string => {
  const { CHROMIUM_BIN, PATH } = process.env
  const found = (PATH ?? "").split(":").map((dir) => join(dir, "chromium"))
  const path = CHROMIUM_BIN ?? found.find((path) => existsSync(path))
  if (path === undefined) throw new Error("no chromium on PATH: install Debian's, or set CHROMIUM_BIN")
  return path
}

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]

/** A page in a browser, and what happened in it so far. */
export interface Tab {
  readonly page: Page
  /** The URL of every request, also of one that was blocked. */
  readonly requested: ReadonlyArray<string>
  /** What the page complained about: errors and warnings on the console, and exceptions that nobody caught. */
  readonly complaints: ReadonlyArray<string>
}

/** An empty tab of a headless Chromium of its own, to which these host names are this machine; gone with the scope. */
export const openTab = (hosts: ReadonlyArray<string> = []): Effect.Effect<Tab, never, Scope.Scope> =>
  Effect.gen(function* () {
    const browser = yield* Effect.acquireRelease(
      Effect.promise(() =>
        chromium.launch({
          executablePath: executable(),
          args: [...ARGS, `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`],
        }),
      ),
      (browser) => Effect.promise(() => browser.close()),
    )
    const page = yield* Effect.promise(() => browser.newPage({ viewport: { width: 1280, height: 900 } }))
    // How quick the machine is, is not what is tested.
    page.setDefaultTimeout(120_000)
    const requested: Array<string> = []
    const complaints: Array<string> = []
    page.on("request", (request) => requested.push(request.url()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text())
    })
    return { page, requested, complaints }
  })
