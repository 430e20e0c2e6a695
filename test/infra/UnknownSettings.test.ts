import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { AgentName } from "../../src/domain/Session.ts"
import { findAgents } from "../../src/infra/Agents.ts"
import { settingNames } from "../../src/infra/Config.ts"
import { unknownSettings } from "../../src/infra/UnknownSettings.ts"

const meant = (name: string, other: string) => `${name} is not a setting, and is ignored: is ${other} meant?`

describe("a variable that nothing reads", () => {
  it("is told with the nearest setting, if it begins with CLAWDFORGE_", () => {
    const names = [
      "CLAWDFORGE_MAX_QUEUE_TURNS",
      "CLAWDFORGE_MAX_SESSIONS",
      "CLAWDFORGE_TOKNE",
      "CLAWDFORGE_X",
    ]
    expect(unknownSettings(names, [])).toEqual([
      meant("CLAWDFORGE_MAX_QUEUE_TURNS", "CLAWDFORGE_MAX_QUEUED_TURNS"),
      meant("CLAWDFORGE_MAX_SESSIONS", "CLAWDFORGE_MAX_LIVE_SESSIONS"),
      meant("CLAWDFORGE_TOKNE", "CLAWDFORGE_TOKEN"),
      "CLAWDFORGE_X is not a setting, and is ignored",
    ])
  })

  it("is told if .env has it and it is nearly a setting, once", () => {
    const inFile = ["BIND_PROT", "bind_host", "POSTGRES_PASSWORD", "ANTHROPIC_API_KEY", "CLAWDFORGE_AGENT"]
    expect(unknownSettings(["PATH", "BIND_PROT", "CLAWDFORGE_AGENT"], inFile)).toEqual([
      meant("CLAWDFORGE_AGENT", "CLAWDFORGE_AGENTS"),
      meant("BIND_PROT", "BIND_PORT"),
      meant("bind_host", "BIND_HOST"),
    ])
  })

  it("is none of the service's, of clients', and of the service's own", () => {
    const clients = ["CLAWDFORGE_URL", "CLAWDFORGE_TOKEN", "CLAWDFORGE_ADMIN_TOKEN", "CLAWDFORGE_PROXY"]
    const names = [...settingNames, ...clients, "CLAWDFORGE_PROCESS"]
    expect(names.length).toBeGreaterThan(35)
    expect(unknownSettings(names, names)).toEqual([])
  })
})

describe("the agents of the settings", () => {
  it.effect("are looked for without a start; a missing one comes with the reason", () =>
    Effect.gen(function* () {
      const names = ["claude", "mine", "gone", "gemni", "codex", "mux"].map((name) => AgentName.make(name))
      const commands = new Map([
        ["mine", "node /somewhere/agent.mjs"],
        ["gone", "/nowhere/agent --acp"],
      ])
      const { executables, missing } = yield* findAgents(
        new Map(names.map((name) => [name, Option.fromNullable(commands.get(name))])),
      )
      expect([...executables.keys()]).toEqual(["claude", "mine"])
      expect(Object.fromEntries(missing)).toEqual({
        gone: "needs the command /nowhere/agent",
        gemni: "is not known: is gemini meant?",
        codex: "needs the package @agentclientprotocol/codex-acp",
        mux: "can be started only by a command of your own",
      })
    }),
  )
})
