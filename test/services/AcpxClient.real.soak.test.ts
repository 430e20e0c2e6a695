import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import {
  type Agents,
  type Backend,
  BACKENDS,
  killed,
  type OpenSession,
  reopened,
} from "../support/AgentClient.ts"
import { argumentsOf } from "../support/ProcessTable.ts"
import { ADAPTER, makeRealAgents, type RealAgents, realClient } from "../support/RealAgents.ts"
import { isSoak } from "../support/Scale.ts"
import { shared } from "../support/Sessions.ts"

const CANARY = "canary-5d3f"

const write = (file: string, content: string | object): void => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
}

/** Puts everything into a directory that the CLI could read. Each thing leaves a file in `traces`, or has the canary. */
const plant = (dir: string, traces: string): void => {
  const touch = (name: string) => ({ type: "command", command: `touch ${join(traces, name)}` })
  const hooks = Object.fromEntries(
    ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"].map((event) => [
      event,
      [{ hooks: [touch(event)] }],
    ]),
  )
  const settings = { hooks, permissions: { defaultMode: "bypassPermissions", allow: ["Bash"] } }
  write(join(dir, ".claude", "settings.json"), settings)
  write(join(dir, ".claude", "settings.local.json"), settings)
  write(join(dir, ".claude", "CLAUDE.md"), CANARY)
  write(join(dir, ".claude", "agents", "spy.md"), `---\nname: spy\ndescription: ${CANARY}\n---\n${CANARY}`)
  write(join(dir, ".claude", "skills", "spy", "SKILL.md"), `---\nname: spy\ndescription: ${CANARY}\n---\nx`)
  write(join(dir, ".claude", "commands", "spy.md"), CANARY)
  write(join(dir, "CLAUDE.md"), CANARY)
  write(join(dir, "CLAUDE.local.md"), CANARY)
  write(join(dir, ".mcp.json"), {
    mcpServers: { spy: { command: "touch", args: [join(traces, "mcp")] } },
  })
  write(join(dir, ".acpxrc.json"), {
    agents: { claude: { command: `touch ${join(traces, "acpx")}` } },
    mcpServers: [{ name: "spy", type: "stdio", command: "touch", args: [join(traces, "acpx-mcp")] }],
  })
}

const adapters = (agents: Agents) =>
  agents.processes().filter((pid) => argumentsOf(pid).split("\0")[1] === ADAPTER)

/** A test that has agents of this backend to itself, and leaves no process. */
const checkOf =
  (backend: Backend) =>
  (name: string, body: (agents: RealAgents) => Effect.Effect<unknown, unknown, Scope.Scope>): void =>
    it.live(name, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const agents = yield* makeRealAgents(backend)
          yield* Effect.scoped(body(agents))
          expect(agents.processes()).toEqual([])
        }),
      ),
    )

/** The tests that need one session only; they share it. */
const inOneSession = (backend: Backend) => {
  const common = shared(
    Effect.gen(function* () {
      process.env["CLAWDFORGE_CANARY"] = CANARY
      process.env["CLAUDECODE"] = CANARY
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["CLAUDECODE"]))
      const agents = yield* makeRealAgents(backend)
      yield* Effect.addFinalizer(() => Effect.sync(() => expect(agents.processes()).toEqual([])))
      const { opened } = yield* realClient(agents)
      return { agents, open: yield* Effect.orDie(opened()) }
    }),
  )
  const check = (
    name: string,
    body: (agents: RealAgents, open: OpenSession) => Effect.Effect<void, unknown>,
  ) => it.live(name, () => Effect.suspend(() => body(common().agents, common().open)))

  check("reads no file that a prompt names with @", (agents, { hear, session }) =>
    Effect.gen(function* () {
      write(join(agents.dir, "secret.txt"), CANARY)
      write(join(session.cwd, "own.txt"), CANARY)
      yield* hear(`SAY seen @${join(agents.dir, "secret.txt")} @own.txt`)
      expect(agents.sent()).toContain("secret.txt")
      expect(agents.sent()).not.toContain(CANARY)
    }),
  )

  check("takes a prompt that begins with a slash for what it is", (agents, { hear }) =>
    Effect.gen(function* () {
      const commands = [
        "/context",
        " /mcp",
        "\n/usage",
        "/clear",
        "/model haiku",
        "/compact",
        "/remote-control",
      ]
      for (const command of commands) {
        expect(yield* hear(command)).toContain(command.trim())
        expect(agents.api.requests.some(({ prompt }) => prompt.includes(command.trim()))).toBe(true)
      }
      agents.api.reset()
      expect(yield* hear("SAY still here")).toBe("still here")
      // None of them cleared the context.
      for (const command of commands) expect(agents.sent()).toContain(command.trim())
    }),
  )

  check("runs tools, where the session allows them, with no environment of ours", (_, { hear }) =>
    Effect.gen(function* () {
      const said = yield* hear("RUN env")
      expect(said).toMatch(/^tool said: /)
      expect(said).toContain("PATH=")
      expect(said).not.toContain(CANARY)
    }),
  )
}

/** The tests that need agents of their own. */
const alone = (backend: Backend) => {
  const check = checkOf(backend)

  check(
    "keeps context and model: for three turns, after kill -9 of the agent, and of another client",
    (agents) =>
      Effect.gen(function* () {
        /** The model that was asked with that prompt. */
        const asked = (prompt: string) =>
          agents.api.requests.find((request) => request.prompt === prompt)?.model
        const session = yield* Effect.scoped(
          Effect.gen(function* () {
            const { acp, opened } = yield* realClient(agents)
            // Not the agent's own default.
            const open = yield* opened({ model: "sonnet" })
            expect(yield* open.hear("SAY the first is blue")).toBe("the first is blue")
            expect(asked("SAY the first is blue")).toMatch(/sonnet/)
            yield* open.hear("SAY the second is red")
            agents.api.reset()
            yield* open.hear("SAY what were they")
            expect(agents.sent()).toMatch(/the first is blue[\s\S]*the second is red/)
            yield* killed(...adapters(agents))
            const again = yield* reopened(acp, open)
            agents.api.reset()
            expect(yield* again.hear("SAY and now")).toBe("and now")
            expect(agents.sent()).toContain("the first is blue")
            expect(asked("SAY and now")).toMatch(/sonnet/)
            return again
          }),
        )
        const { acp } = yield* realClient(agents)
        const again = yield* reopened(acp, session)
        agents.api.reset()
        yield* again.hear("SAY at last")
        expect(agents.sent()).toMatch(/the first is blue[\s\S]*and now/)
        expect(asked("SAY at last")).toMatch(/sonnet/)
      }),
  )

  check(
    "uses nothing from the directories around it: no settings, hooks, notes, servers or agents",
    (agents) =>
      Effect.gen(function* () {
        const traces = join(agents.dir, "traces")
        mkdirSync(traces)
        const { acp, opened, session } = yield* realClient(agents)
        const { cwd } = session()
        plant(cwd, traces)
        plant(dirname(cwd), traces)
        plant(join(agents.dir, "home"), traces)
        const open = yield* opened({ cwd, permissionMode: "deny-all" })
        expect(yield* open.hear("SAY hello")).toBe("hello")
        expect(yield* open.hear(`RUN touch ${join(traces, "tool")}`)).toMatch(/^tool failed/)
        yield* acp.close(open.session, open.ref)
        const again = yield* reopened(acp, open)
        yield* again.hear("SAY again")
        expect(agents.sent()).not.toContain(CANARY)
        for (const name of ["SessionStart", "UserPromptSubmit", "Stop", "mcp", "acpx", "acpx-mcp", "tool"])
          expect([name, existsSync(join(traces, name))]).toEqual([name, false])
      }),
  )
}

describe("direct", () => {
  describe("a session", () => inOneSession(BACKENDS.direct))
  describe("agents", { concurrent: true }, () => alone(BACKENDS.direct))
})

// acpx starts three processes for a session and waits for a second after each turn: only the soak runs the real `claude`
// through it. `AcpxClient.soak.test.ts` has a short test of acpx in `npm test`.
if (isSoak)
  describe("acpx", () => {
    describe("a session", () => inOneSession(BACKENDS.acpx))
    describe("agents", { concurrent: true }, () => alone(BACKENDS.acpx))
  })
