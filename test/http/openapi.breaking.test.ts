import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import { breakingChanges } from "../../scripts/openapi/Breaking.ts"
import { unannounced } from "../../scripts/openapi/Changelog.ts"
import type { Document } from "../../scripts/openapi/Document.ts"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { BREAKING, HARMLESS } from "../support/openapi/Changes.ts"

const read = (name: string) => readFileSync(join(import.meta.dirname, "..", "..", name), "utf8")
const served = () => `${JSON.stringify(openApiDocument, null, 2)}\n`
const document = (): Document => JSON.parse(served())

const after = (change: (document: Document) => unknown) => {
  const next = document()
  change(next)
  return breakingChanges(document(), next)
}

const unusual = (value: unknown) => (next: Document) =>
  (next.components.schemas.RunRequest.properties.prompt.not = value)

describe("the promise to clients", () => {
  it("openapi.json is the served document; if not, run npm run openapi", () => {
    expect(read("openapi.json") === served(), "npm run openapi writes it again").toBe(true)
  })

  it("is kept, or the changelog announces the breaking changes: openapi.released.json against openapi.json", () => {
    const released = JSON.parse(read("openapi.released.json"))
    const changes = breakingChanges(released, JSON.parse(read("openapi.json")))
    expect(unannounced(changes, read("CHANGELOG.md"))).toEqual([])
  })

  it("is renewed with each version: npm run openapi -- --release", () => {
    const { info } = JSON.parse(read("openapi.released.json"))
    expect(info.version).toBe(JSON.parse(read("package.json")).version)
    expect(document().info.version).toBe(info.version)
  })
})

describe("a breaking change", () => {
  it.each(BREAKING)("%s", (_, change, said) => {
    const lines = after(change).map(({ operation, what }) => `${operation}: ${what}`)
    expect(lines).toContain(said)
  })

  it.each(HARMLESS)("is not: %s", (_, change) => {
    expect(after(change)).toEqual([])
  })

  it("is reported for every route with the schema", () => {
    const found = after(({ components }) => components.schemas.Cancelled.required.pop())
    expect(found.map(({ operation }) => operation)).toEqual([
      "POST /runs/{id}/cancel",
      "POST /sessions/{id}/cancel",
    ])
  })

  it("is any difference in an unknown keyword", () => {
    const base = document()
    unusual({ const: "" })(base)
    const next = document()
    unusual({ const: "a" })(next)
    expect(breakingChanges(base, structuredClone(base))).toEqual([])
    expect(breakingChanges(base, next)).toEqual([
      { operation: "POST /run", what: "request: `prompt` has another not, which is no longer taken" },
    ])
  })
})

describe("a breaking change in the changelog", () => {
  const changes = after((next) => {
    delete next.paths["/run"].post.responses["200"].content["text/event-stream"]
    delete next.paths["/events/stats"]
  })
  const silent = (changelog: string) => unannounced(changes, changelog).map(({ operation }) => operation)
  const LINES = "- `POST /run`: it no longer streams.\n- `GET /events/stats` is gone.\n"

  it("is accepted if a line under Breaking names its operation", () => {
    expect(
      silent(`# Changelog\n\n## Unreleased\n\n### Added\n\n- More.\n\n### Breaking\n\n${LINES}`),
    ).toEqual([])
  })

  it.each([
    ["no changelog", ""],
    ["no such heading", `# Changelog\n\n## Unreleased\n\n### Changed\n\n${LINES}`],
    ["the heading of an older version", `## Unreleased\n\n- x\n\n## 0.2.0\n\n### Breaking\n\n${LINES}`],
    ["another heading directly after it", `## Unreleased\n\n### Breaking\n\n### Added\n\n${LINES}`],
    ["a text that is no list item", `## Unreleased\n\n### Breaking\n\n${LINES.replaceAll("- ", "")}`],
    ["routes with similar names", "## Unreleased\n\n### Breaking\n\n- `POST /runs` and `GET /events`\n"],
  ])("is not accepted with %s", (_, changelog) => {
    expect(silent(changelog)).toEqual(["POST /run", "GET /events/stats"])
  })

  it("is not accepted with a line for another operation", () => {
    expect(silent("## Unreleased\n\n### Breaking\n\n- `POST /run`: it no longer streams.\n")).toEqual([
      "GET /events/stats",
    ])
  })
})

/** A released document with one route that is no longer served. */
const promised = () => {
  const base = document()
  base.paths["/more"] = { get: { ...base.paths["/livez"].get, operationId: "system.more" } }
  return JSON.stringify(base)
}

describe("npm run openapi -- --release", () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "clawdforge-openapi-"))
    writeFileSync(join(dir, "openapi.released.json"), promised())
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const release = (changelog: string) => {
    writeFileSync(join(dir, "CHANGELOG.md"), changelog)
    const script = join(import.meta.dirname, "..", "..", "scripts", "openapi.ts")
    const { status, stderr } = spawnSync(process.execPath, [script, "--release", "--in", dir], {
      encoding: "utf8",
    })
    const now = ["openapi.json", "openapi.released.json"].map((name) => readFileSync(join(dir, name), "utf8"))
    return { status, stderr, now }
  }

  it("refuses a breaking change that the changelog does not announce", () => {
    const { status, stderr, now } = release("## Unreleased\n")
    expect(status).toBe(1)
    expect(stderr).toContain("GET /more: is gone")
    expect(now).toEqual([served(), promised()])
  })

  it("accepts a breaking change that the changelog announces", () => {
    const { status, now } = release("## Unreleased\n\n### Breaking\n\n- `GET /more` is gone.\n")
    expect(status).toBe(0)
    expect(now).toEqual([served(), served()])
  })
})
