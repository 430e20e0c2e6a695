import { join } from "node:path"
import { Effect, Option, type Scope } from "effect"
import { childEnvironment } from "../../src/infra/ChildEnvironment.ts"
import { claudeForAgents } from "../../src/infra/acp/ClaudeForAgents.ts"
import { claudeExecutable } from "../../src/infra/Executables.ts"
import { claudeEnvironment } from "../../src/services/agents/claude/Command.ts"
import { AGENT, type Agents, type Backend, type Client, makeAgents } from "./AgentClient.ts"
import { type StandInApi, startStandInApi } from "./StandInApi.ts"

/** The script of Claude's real adapter. */
export const ADAPTER = join(
  import.meta.dirname,
  "../../node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js",
)

const claude = claudeExecutable(Option.none()).command

/** Agents, and a stand-in for the model that only they use. */
export interface RealAgents extends Agents {
  readonly api: StandInApi
  /** Everything that was sent to the model. */
  readonly sent: () => string
  /** The environment of the real `claude`, without the wrapper of sessions. */
  readonly claudeEnv: Readonly<Record<string, string>>
}

export const makeRealAgents = (backend: Backend): Effect.Effect<RealAgents, never, Scope.Scope> =>
  Effect.gen(function* () {
    const api = yield* Effect.acquireRelease(
      Effect.promise(() => startStandInApi()),
      (api) => Effect.promise(() => api.close()),
    )
    const agents = yield* makeAgents(backend)
    const claudeEnv = {
      ...claudeEnvironment(childEnvironment()),
      HOME: join(agents.dir, "home"),
      ANTHROPIC_BASE_URL: api.url,
      ANTHROPIC_API_KEY: "dummy-key-0123456789",
      DISABLE_TELEMETRY: "1",
    }
    return { ...agents, api, sent: () => api.requests.map(({ raw }) => raw).join("\n"), claudeEnv }
  })

/** A client of `claude` through its real adapter, which starts it by the wrapper of sessions, or as `executables` says. */
export const realClient = (
  agents: RealAgents,
  executables: Readonly<Record<string, string>> = claudeForAgents(claude),
): Effect.Effect<Client, never, Scope.Scope> =>
  agents.client({
    agents: new Map([[AGENT, { command: process.execPath, args: [ADAPTER] }]]),
    env: { ...agents.claudeEnv, CLAUDE_CODE_EXECUTABLE: claude, ...executables },
  })
