import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { AgentName } from "../../src/domain/Session.ts"
import { scriptedAgent } from "../support/Sessions.ts"
import { ADMIN_TOKEN, scriptedClaude, startServer, temporaryDirectory } from "../support/TestServer.ts"

/** The Python client's own tests, on the real service. */

const CLIENT = join(import.meta.dirname, "..", "..", "clients", "python")

const TESTS = join(CLIENT, "tests")

/** Runs these modules of tests with that Python, and returns how it ended and all that was printed. */
const tested = (python: string, modules: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.promise(async (signal) => {
    const child = spawn(python, ["-m", "unittest", ...modules], {
      cwd: TESTS,
      env: {
        PATH: process.env["PATH"] ?? "",
        PYTHONPATH: join(CLIENT, "src"),
        PYTHONDONTWRITEBYTECODE: "1",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      signal,
    })
    let printed = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (printed += String(data)))
    const [code] = await once(child, "close")
    return { code: code as number | null, printed }
  })

// They are some eighty in one.
describe("the Python client", { timeout: 300_000 }, () => {
  it.live("passes its tests against the service, all of them", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const server = yield* startServer(
        {
          claudeBin: Option.some(scriptedClaude),
          agents: new Map([[AgentName.make("claude"), Option.some(scriptedAgent(dir, "--models sonnet"))]]),
          maxLiveSessions: 3,
        },
        dir,
      )
      const token = yield* server.mint("python")
      const python = process.env["PYTHON_BIN"] ?? "python3"
      const env = {
        CLAWDFORGE_URL: server.url,
        CLAWDFORGE_TOKEN: token,
        CLAWDFORGE_ADMIN_TOKEN: ADMIN_TOKEN,
      }
      const modules = readdirSync(TESTS)
        .filter((name) => /^test_.*\.py$/.test(name))
        .map((name) => name.replace(".py", ""))
      // The tests that use the service run beside the tests that have servers of their own.
      const [own, served] = [
        modules.filter((name) => name !== "test_service"),
        modules.filter((name) => name === "test_service"),
      ]
      const results = yield* Effect.forEach([own, served], (part) => tested(python, part, env), {
        concurrency: 2,
      })
      let ran = 0
      for (const { code, printed } of results) {
        expect(code, printed).toBe(0)
        expect(printed.trimEnd().split("\n").at(-1)).toBe("OK")
        ran += Number(/^Ran (\d+) tests in /m.exec(printed)?.[1])
      }
      expect(ran).toBeGreaterThanOrEqual(74)
      expect(existsSync(join(CLIENT, "src", "clawdforge", "py.typed"))).toBe(true)
    }).pipe(Effect.scoped),
  )
})
