import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { AgentName } from "../../src/domain/Session.ts"
import { scriptedClaude, startServer } from "../support/TestServer.ts"

describe("an agent of CLAWDFORGE_AGENTS that is not installed", () => {
  for (const agentBackend of ["direct", "acpx"] as const)
    it.scopedLive(`is 400, with the names of those that are: ${agentBackend}`, () =>
      Effect.gen(function* () {
        const commands = { claude: scriptedClaude, gone: "/nowhere/agent", mine: "node /somewhere/agent.mjs" }
        const server = yield* startServer({
          agentBackend,
          claudeBin: Option.some(scriptedClaude),
          agents: new Map(
            Object.entries(commands).map(([name, command]) => [AgentName.make(name), Option.some(command)]),
          ),
        })
        const token = yield* server.mint("recipes")
        for (const agent of ["gone", "unheard-of"]) {
          const { status, json } = yield* server.request("POST", "/sessions", { token, body: { agent } })
          expect([status, json.code, json.issues]).toEqual([
            400,
            "invalid_request",
            [{ path: ["agent"], message: "is not one of this service's agents: claude, mine" }],
          ])
        }
      }),
    )
})
