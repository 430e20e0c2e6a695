import { Command, type CommandExecutor } from "@effect/platform"
import { Duration, Effect, Option, Schema, Stream } from "effect"
import type { AgentName } from "../../domain/Session.ts"
import { agentExecutables } from "../../infra/Agents.ts"
import { childEnvironment } from "../../infra/ChildEnvironment.ts"
import type { AppConfig } from "../../infra/Config.ts"
import { acpxExecutable, claudeExecutable } from "../../infra/Executables.ts"
import { environment } from "../../services/agents/claude/Command.ts"
import type { Executable } from "../../services/agents/ClaudeRunner.ts"
import { type Finding, fault, note, ok } from "./Finding.ts"

/** What a CLI may take to say its version, or whether it has a login. */
const PATIENCE = Duration.seconds(20)

/** What a CLI prints, as the service would start it, and its exit code; none when it is missing or hangs. */
const printed = ({ command, args }: Executable, ...more: ReadonlyArray<string>) =>
  Command.make(command, ...args, ...more).pipe(
    Command.env(environment(childEnvironment()), { extendEnv: false }),
    Command.start,
    Effect.flatMap(({ stdout, exitCode }) =>
      Effect.all([Stream.mkString(Stream.decodeText(stdout)), exitCode], { concurrency: "unbounded" }),
    ),
    Effect.scoped,
    Effect.timeout(PATIENCE),
    Effect.option,
  )

/** Its version, as the service takes it. */
const versionOf = (executable: Executable) =>
  Effect.map(
    printed(executable, "--version"),
    Option.flatMap(([text, code]) => {
      const [line = ""] = text.trim().split("\n")
      return code === 0 && line !== "" ? Option.some(line) : Option.none()
    }),
  )

const INSTALL =
  "npm ci in the checkout, or npm install @agentclientprotocol/claude-agent-acp beside the package"

const Status = Schema.parseJson(Schema.Struct({ loggedIn: Schema.Boolean }))

const claude = (config: AppConfig) =>
  Effect.gen(function* () {
    const executable = claudeExecutable(config.claudeBin)
    const version = yield* versionOf(executable)
    if (Option.isNone(version)) {
      const named = Option.isSome(config.claudeBin)
        ? "CLAUDE_BIN is no claude that starts"
        : "claude is missing"
      return [fault("claude", named, `${INSTALL}; or set CLAUDE_BIN to where it is`)]
    }
    const status = Option.flatMap(yield* printed(executable, "auth", "status", "--json"), ([text]) =>
      Schema.decodeOption(Status)(text),
    )
    const login = Option.match(status, {
      onNone: () => note("login", "claude does not say whether it has one"),
      onSome: ({ loggedIn }) =>
        loggedIn
          ? ok("login", "claude has one")
          : fault(
              "login",
              "claude is not logged in",
              "npm run claude -- /login (of a package: npx clawdforge-claude /login), or set ANTHROPIC_API_KEY",
            ),
    })
    return [ok("claude", version.value), login]
  })

const acpx = (config: AppConfig) =>
  Effect.map(versionOf(acpxExecutable(config.acpxBin)), (version) => {
    if (config.agentBackend === "direct") {
      return ok(
        "acpx",
        Option.getOrElse(version, () => "missing, and not needed by the backend `direct`"),
      )
    }
    return Option.match(version, {
      onNone: () =>
        fault(
          "acpx",
          "acpx is missing",
          "npm install acpx, set ACPX_BIN, or CLAWDFORGE_AGENT_BACKEND=direct",
        ),
      onSome: (text) => ok("acpx", text),
    })
  })

const agents = (config: AppConfig) =>
  Effect.map(agentExecutables(config.agents), (found) => {
    const isMissing = (name: AgentName) => !found.has(name)
    const missing = [...config.agents.keys()].filter(isMissing)
    return missing.length === 0
      ? ok("agents", [...found.keys()].join(", "))
      : fault(
          "agents",
          `no way is known to start ${missing.join(", ")}`,
          "mend the names in CLAWDFORGE_AGENTS, or give them commands: name=command",
        )
  })

/** The CLIs: which are there, in which version, and with a login. */
export const clis = (
  config: AppConfig,
): Effect.Effect<ReadonlyArray<Finding>, never, CommandExecutor.CommandExecutor> =>
  Effect.map(
    Effect.all([claude(config), acpx(config), agents(config)], { concurrency: "unbounded" }),
    ([claude, acpx, agents]) => [...claude, acpx, agents],
  )
