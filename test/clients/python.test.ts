import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { AgentName } from "../../src/domain/Session.ts"
import { scriptedAgent } from "../support/Sessions.ts"
import { ADMIN_TOKEN, scriptedClaude, startServer, temporaryDirectory } from "../support/TestServer.ts"

/** The Python client's own tests, on the real service. */

const CLIENT = join(import.meta.dirname, "..", "..", "clients", "python")

/** Runs them with that Python, and returns how it ended and all that was printed. */
const tested = (python: string, env: Readonly<Record<string, string>>) =>
  Effect.promise(async (signal) => {
    const child = spawn(python, ["-m", "unittest", "discover", "--start-directory", join(CLIENT, "tests")], {
      cwd: CLIENT,
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
          agents: new Map([[AgentName.make("claude"), Option.some(scriptedAgent(dir))]]),
          maxLiveSessions: 3,
        },
        dir,
      )
      const token = yield* server.mint("python")
      const { code, printed } = yield* tested(process.env["PYTHON_BIN"] ?? "python3", {
        CLAWDFORGE_URL: server.url,
        CLAWDFORGE_TOKEN: token,
        CLAWDFORGE_ADMIN_TOKEN: ADMIN_TOKEN,
      })
      expect(code, printed).toBe(0)
      const ran = Number(/^Ran (\d+) tests in /m.exec(printed)?.[1])
      expect(ran, printed).toBeGreaterThanOrEqual(74)
      expect(printed.trimEnd().split("\n").at(-1)).toBe("OK")
      expect(existsSync(join(CLIENT, "src", "clawdforge", "py.typed"))).toBe(true)
    }).pipe(Effect.scoped),
  )
})
