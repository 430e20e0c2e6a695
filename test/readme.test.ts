import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { LiveRuns, Run, Runs, services, Token, TokenStore } from "clawdforge"
import {
  claudeAnswer,
  claudeRunner,
  ids,
  LedgerMemory,
  ledger,
  noFiles,
  outputSchemas,
  workDirs,
} from "clawdforge/testing"
import { configFor, scriptedClaude, temporaryDirectory } from "./support/TestServer.ts"

const ROOT = join(import.meta.dirname, "..")
const readme = readFileSync(join(ROOT, "README.md"), "utf8")
const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? "")
const origin = { requestId: "embedded", address: "127.0.0.1" }

describe("the README", () => {
  it("has an embedder's ten lines and a tester's ten lines, and they type-check under strict", () => {
    expect(blocks).toHaveLength(2)
    const dir = mkdtempSync(join(ROOT, "test", ".readme-"))
    try {
      for (const [n, code] of blocks.entries()) {
        expect(code.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(10)
        writeFileSync(join(dir, `${n}.ts`), `${code}\nexport {}\n`)
      }
      writeFileSync(
        join(dir, "tsconfig.json"),
        JSON.stringify({
          extends: "../../tsconfig.json",
          compilerOptions: { noUnusedLocals: false },
          include: ["*.ts"],
        }),
      )
      execFileSync(process.execPath, [join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-p", dir], {
        encoding: "utf8",
      })
    } catch (error) {
      throw new Error((error as { stdout?: string }).stdout ?? String(error), { cause: error })
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})

describe("an embedder", () => {
  it.live("has the services in its own process, and an answer of them", () =>
    Effect.gen(function* () {
      const config = { ...configFor(yield* temporaryDirectory), claudeBin: Option.some(scriptedClaude) }
      const ask = Effect.gen(function* () {
        const { token } = yield* (yield* TokenStore).mint(Token.TokenName.make("recipes"), [], origin)
        const run = yield* (yield* Runs).open(Run.runRequest("SAY hello"), token.id, origin)
        return (yield* run.answer).result
      })
      expect(
        yield* Effect.provide(ask, Layer.provide(services(config), Logger.remove(Logger.defaultLogger))),
      ).toBe("hello")
    }).pipe(Effect.scoped),
  )
})

describe("a consumer's test", () => {
  it.effect("swaps the agent for a mock and starts no process", () => {
    const memory = new LedgerMemory()
    const agent = claudeRunner(({ prompt }) => Effect.succeed(claudeAnswer(`you said ${prompt}`)))
    const TestRuns = Runs.layer({ maxConcurrentRuns: 2 }).pipe(
      Layer.provide(LiveRuns.layer()),
      Layer.provide([agent, ids, ledger(memory), noFiles, outputSchemas, workDirs]),
    )
    return Effect.gen(function* () {
      const run = yield* (yield* Runs).open(Run.runRequest("hello"), "0".repeat(26) as never, origin)
      expect((yield* run.answer).result).toBe("you said hello")
      expect([...memory.runs.values()].map(({ status }) => status)).toEqual(["completed"])
    }).pipe(Effect.scoped, Effect.provide(TestRuns))
  })
})
