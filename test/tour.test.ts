import { execFile } from "node:child_process"
import { cpSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { inherited } from "./support/ServerProcess.ts"
import { serviceUnderTest } from "./support/Service.ts"
import { type StandInApi, startStandInApi } from "./support/StandInApi.ts"

/** The shell lines of the documents, as a newcomer pastes them: on the real service, with the real `claude`. */

const ROOT = join(import.meta.dirname, "..")

const ANSWERS = {
  'Parse: 2 cups of flour. Answer {"qty":…,"unit":…} as JSON only.':
    'SAY ```json\n{"qty":2,"unit":"cup"}\n```',
  "Parse: 2 cups of flour": 'SAY {"qty":2,"unit":"cup"}',
  "How much flour is in it?": "SAY 2 cups",
  "My pancakes take 2 cups of flour for two people.": "SAY 250 g",
  "And for five?": "SAY 625 g",
  "Tell me about flour.": "SAY Flour is ground grain.",
  "Parse: 3 eggs": 'SAY {"qty":3}',
}

const service = serviceUnderTest("file")
let provider: StandInApi
let url: string
beforeAll(async () => {
  provider = await startStandInApi(ANSWERS)
  const server = await service.start({
    DATA_DIR: join(service.dataDir(), "data"),
    HOME: service.dataDir(),
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "stand-in",
    CLAUDE_BIN: "",
    ACPX_BIN: "",
  })
  url = server.url
  cpSync(join(ROOT, "examples"), join(service.dataDir(), "examples"), { recursive: true })
})
afterAll(() => provider.close())

/** Runs the first shell block after that text of a page, but for the port: it is another one in each test. */
const paste = async (page: string, after: string) => {
  const text = readFileSync(join(ROOT, page), "utf8")
  const [, block = ""] = /```sh\n([\s\S]*?)```/.exec(text.slice(text.indexOf(after))) ?? []
  expect(block).toContain("http://127.0.0.1:8800")
  const script = block.replaceAll("http://127.0.0.1:8800", url)
  const { stdout, stderr } = await promisify(execFile)("sh", ["-c", script], {
    cwd: service.dataDir(),
    env: { ...inherited(), LANG: "C.UTF-8" },
  })
  expect(stderr).toBe("")
  return stdout
}

describe("the shell lines of", () => {
  it("the curl tour in docs/api.md do what they say", async () => {
    const output = await paste("docs/api.md", "## A curl tour")
    expect(output.match(/"ok":false,"error":"(?!a sentence for people").{0,200}/)?.[0]).toBeUndefined()
    for (const told of [
      '"result":{"qty":2,"unit":"cup"}',
      '"cost_usd":',
      '"result":"2 cups"',
      '"turn_index":2,',
      '"already_closed":false',
      "Flour is ground grain.",
      '"cancelled":false',
      '"result":{"qty":3}',
      '"by_type":',
      '"claude_present":true',
      "ok database",
      '"openapi":"3.1.0"',
      '"already_revoked":false',
    ]) {
      expect(output).toContain(told)
    }
    expect(output.match(/^event: result$/gm)?.length).toBeGreaterThanOrEqual(1)
    expect(provider.requests.some(({ prompt }) => prompt.endsWith("And for five?"))).toBe(true)
    expect(provider.requests.some(({ prompt }) => prompt.includes("file-1.pdf"))).toBe(true)
  })

  it("the README do what they say", async () => {
    const output = await paste("README.md", "## Three calls")
    expect(output).toContain('{"ok":true,"result":{"qty":2,"unit":"cup"},"duration_ms":')
    expect(output).toContain("Flour is ground grain.")
    expect(output).toMatch(/^event: result$/m)
  })
})
