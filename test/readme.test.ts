import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { Journal, Run, RunEngine, Runs, services, Session, SessionPool, Token, TokenStore } from "clawdforge"
import {
  acpxClient,
  claudeAnswer,
  claudeRunner,
  ids,
  LedgerMemory,
  ledger,
  loginMonitor,
  noFiles,
  outputSchemas,
  revocation,
  sessionDirs,
  workDirs,
} from "clawdforge/testing"
import { configFor, scriptedClaude, temporaryDirectory } from "./support/TestServer.ts"

const ROOT = join(import.meta.dirname, "..")
/** The lines for a client are in docs, those for an embedder and a tester in the README. */
const texts = ["docs/clients.md", "README.md"]
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n")
const blocks = [...texts.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? "")
const origin = { requestId: "embedded", address: "127.0.0.1" }

describe("the README and docs", () => {
  it("have ten lines each for a client, an embedder and a tester, and they type-check under strict", async () => {
    expect(blocks).toHaveLength(3)
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
      // Not waited for in the thread that answers to the runner: it gives that up after a minute.
      const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc")
      await promisify(execFile)(process.execPath, [tsc, "-p", dir])
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
      Layer.provide(Layer.provideMerge(RunEngine.layer(), Layer.merge(Journal.layer, revocation))),
      Layer.provide([agent, ids, ledger(memory), loginMonitor(), noFiles, outputSchemas, workDirs]),
    )
    return Effect.gen(function* () {
      const run = yield* (yield* Runs).open(Run.runRequest("hello"), "0".repeat(26) as never, origin)
      expect((yield* run.answer).result).toBe("you said hello")
      expect([...memory.runs.values()].map(({ status }) => status)).toEqual(["completed"])
    }).pipe(Effect.scoped, Effect.provide(TestRuns))
  })

  it.effect(
    "swaps the agents of sessions for a mock, and has a session of two turns without a process",
    () => {
      const memory = new LedgerMemory()
      const agents = acpxClient(({ prompt, earlier }) => Effect.succeed([...earlier, prompt].join(", ")))
      const claude = Session.AgentName.make("claude")
      const TestSessions = SessionPool.layer({ agents: new Set([claude]) }).pipe(
        Layer.provide(Layer.provideMerge(RunEngine.layer(), Layer.merge(Journal.layer, revocation))),
        Layer.provide([agents, ids, ledger(memory), loginMonitor(), noFiles, sessionDirs()]),
      )
      return Effect.gen(function* () {
        const pool = yield* SessionPool
        const app = "0".repeat(26) as never
        const request = { agent: claude, model: null, meta: null, permissionMode: "deny-all" } as const
        const { id } = yield* pool.open(request, app, origin)
        const ask = (prompt: string) =>
          Effect.flatMap(
            pool.turn(id, { prompt, timeoutSecs: 60, files: [] }, app, origin),
            ({ answer }) => answer,
          )
        yield* ask("eggs")
        expect((yield* ask("flour")).events).toMatchObject([
          { params: { update: { content: { text: "eggs, flour" } } } },
          { result: { stopReason: "end_turn" } },
        ])
        expect(yield* pool.close(id, app, origin)).toEqual({ alreadyClosed: false })
        expect([...memory.runs.values()].map(({ status }) => status)).toEqual(["completed", "completed"])
        expect(yield* pool.get(id, app)).toMatchObject({ status: "closed", turnCount: 2 })
      }).pipe(Effect.provide(TestSessions))
    },
  )
})
