import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { serviceUnderTest } from "../support/Service.ts"
import { scriptedAgent } from "../support/Sessions.ts"

/**
 * What tools of others make of `openapi.json`, in a directory of its own: the generator wants a TypeScript before 7, so
 * it cannot be a dependency here.
 */
const TOOLS = {
  "@redocly/cli": "2.77.0",
  "openapi-fetch": "0.17.0",
  "openapi-typescript": "7.13.0",
  typescript: "5.9.3",
}

const DOCUMENT = join(import.meta.dirname, "..", "..", "openapi.json")
const STRICT =
  "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --erasableSyntaxOnly --allowImportingTsExtensions --noEmit --module nodenext --target es2024 --lib es2024,dom,dom.iterable --types node --skipLibCheck"

const { dataDir, start, mint } = serviceUnderTest("file")

/** The linter would tell its makers of itself. */
const QUIET = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" }

let dir: string

interface Ended {
  readonly code: number
  readonly output: string
}

/** Runs a program in the directory, whatever comes of it. */
const exec = (file: string, ...args: ReadonlyArray<string>): Promise<Ended> =>
  promisify(execFile)(file, args, { cwd: dir, env: QUIET, maxBuffer: 1e8 }).then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    (error) => ({ code: Number(error.code), output: `${error.stdout}${error.stderr}` }),
  )
const node = (...args: ReadonlyArray<string>) => exec(process.execPath, ...args)
const tsc = (...files: ReadonlyArray<string>) =>
  node("node_modules/typescript/bin/tsc", ...STRICT.split(" "), ...files)
const lint = (document: string) =>
  node("node_modules/@redocly/cli/bin/cli.js", "lint", document, "--extends=recommended-strict")
const DONE: Ended = { code: 0, output: "" }

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "clawdforge-client-"))
  cpSync(join(import.meta.dirname, "client"), dir, { recursive: true })
  const devDependencies = { ...TOOLS, "@types/node": "24.19.2" }
  writeFileSync(join(dir, "package.json"), JSON.stringify({ private: true, type: "module", devDependencies }))
  const installed = await exec(
    "npm",
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  )
  expect(installed).toMatchObject({ code: 0 })
  expect(await node("generate.mjs", DOCUMENT)).toMatchObject({ code: 0 })
}, 300_000)

afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe("a client that is generated from openapi.json", () => {
  it("type-checks strictly where it is used rightly, and only there", async () => {
    expect(await tsc("api.ts", "consumer.ts", "misuse.ts")).toEqual(DONE)
  })

  it("is really looked at: a mistake is found", async () => {
    const right = readFileSync(join(dir, "consumer.ts"), "utf8")
    writeFileSync(join(dir, "mistaken.ts"), right.replace('prompt: "CAT"', 'promt: "CAT"'))
    const { code, output } = await tsc("mistaken.ts")
    expect(code).not.toBe(0)
    expect(output).toMatch(/mistaken\.ts\(\d+,\d+\): error TS\d+:.*promt/)
    expect(output.match(/error TS/g)).toHaveLength(1)
  })

  it("works on the service", async () => {
    const { url } = await start({ CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}` })
    const { code, output } = await node("consumer.ts", url, await mint(url))
    expect([code, code === 0 ? "" : output]).toEqual([0, ""])
    expect(JSON.parse(output)).toEqual({
      result: "2 cups",
      runId: expect.stringMatching(/^[0-9A-Z]{26}$/),
      read: "flour",
      turn: [1, "end_turn", true],
      failures: ["run_failed 502 3", "not_found 404"],
      runs: ["turn completed", "run completed", "run completed"],
      more: null,
      stream: "event: result",
    })
  })
})

describe("a strict linter", () => {
  it("has nothing against openapi.json", async () => {
    expect((await lint(DOCUMENT)).code).toBe(0)
  })

  it("has something against a spoilt one", async () => {
    const document = JSON.parse(readFileSync(DOCUMENT, "utf8"))
    document.components.schemas.RunList.type = "list"
    document.paths["/runs/{id}"].get.parameters = []
    writeFileSync(join(dir, "spoilt.json"), JSON.stringify(document, null, 2))
    const { code, output } = await lint("spoilt.json")
    expect(code).toBe(1)
    expect(output).toContain("by the struct rule")
    expect(output).toContain("by the path-parameters-defined rule")
  })
})
