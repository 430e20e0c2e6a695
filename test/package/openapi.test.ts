import { cpSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { DONE, folderWith } from "../support/EmptyFolder.ts"
import { serviceUnderTest } from "../support/Service.ts"
import { scriptedAgent } from "../support/Sessions.ts"

/**
 * Other tools on `openapi.json`. They are installed in a temporary directory: the generator needs a TypeScript before 7,
 * so it cannot be a dependency here.
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

const folder = folderWith({ ...TOOLS, "@types/node": "24.19.2" })
const node = (...args: ReadonlyArray<string>) => folder.node(args)
const tsc = (...files: ReadonlyArray<string>) =>
  node("node_modules/typescript/bin/tsc", ...STRICT.split(" "), ...files)
const lint = (document: string) =>
  node("node_modules/@redocly/cli/bin/cli.js", "lint", document, "--extends=recommended-strict")

beforeAll(async () => {
  cpSync(join(import.meta.dirname, "client"), folder.dir(), { recursive: true })
  expect(await node("generate.mjs", DOCUMENT)).toMatchObject({ code: 0 })
})

describe("a client that is generated from openapi.json", () => {
  it("type-checks strictly for correct uses, and rejects wrong ones", async () => {
    expect(await tsc("api.ts", "consumer.ts", "misuse.ts")).toEqual(DONE)
  })

  it("is really type-checked: a mistake is found", async () => {
    const right = readFileSync(join(folder.dir(), "consumer.ts"), "utf8")
    writeFileSync(join(folder.dir(), "mistaken.ts"), right.replace('prompt: "CAT"', 'promt: "CAT"'))
    const { code, output } = await tsc("mistaken.ts")
    expect(code).not.toBe(0)
    expect(output).toMatch(/mistaken\.ts\(\d+,\d+\): error TS\d+:.*promt/)
    expect(output.match(/error TS/g)).toHaveLength(1)
  })

  it("works with the service", async () => {
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
  it("reports nothing in openapi.json", async () => {
    expect((await lint(DOCUMENT)).code).toBe(0)
  })

  it("reports an error in a corrupted one", async () => {
    const document = JSON.parse(readFileSync(DOCUMENT, "utf8"))
    document.components.schemas.RunList.type = "list"
    document.paths["/runs/{id}"].get.parameters = []
    writeFileSync(join(folder.dir(), "spoilt.json"), JSON.stringify(document, null, 2))
    const { code, output } = await lint("spoilt.json")
    expect(code).toBe(1)
    expect(output).toContain("by the struct rule")
    expect(output).toContain("by the path-parameters-defined rule")
  })
})
