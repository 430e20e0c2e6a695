import { Command, type CommandExecutor } from "@effect/platform"
import { Duration, Effect, Option, Schema, Stream } from "effect"
import { findAgents } from "../../infra/Agents.ts"
import { childEnvironment } from "../../infra/ChildEnvironment.ts"
import type { AppConfig } from "../../infra/Config.ts"
import { acpxExecutable, claudeExecutable } from "../../infra/Executables.ts"
import { claudeEnvironment } from "../../services/agents/claude/Command.ts"
import type { Executable } from "../../services/agents/Processes.ts"
import { type Finding, fault, note, ok } from "./Finding.ts"

/** A CLI has to print its version, or its login state, within this time. */
const TIMEOUT = Duration.seconds(20)

/** Starts a CLI as the service does. Returns its stdout and its exit code; none if it is missing or hangs. */
const outputOf = ({ command, args }: Executable, ...more: ReadonlyArray<string>) =>
  Command.make(command, ...args, ...more).pipe(
    Command.env(claudeEnvironment(childEnvironment()), { extendEnv: false }),
    Command.start,
    Effect.flatMap(({ stdout, exitCode }) =>
      Effect.all([Stream.mkString(Stream.decodeText(stdout)), exitCode], { concurrency: "unbounded" }),
    ),
    Effect.scoped,
    Effect.timeout(TIMEOUT),
    Effect.option,
  )

/** The first line that `--version` prints. The service reads the version in the same way. */
const versionOf = (executable: Executable) =>
  Effect.map(
    outputOf(executable, "--version"),
    Option.flatMap(([text, code]) => {
      const [line = ""] = text.trim().split("\n")
      return code === 0 && line !== "" ? Option.some(line) : Option.none()
    }),
  )

const INSTALL =
  "npm ci in the checkout, or npm install @agentclientprotocol/claude-agent-acp beside the package"

const Status = Schema.parseJson(Schema.Struct({ loggedIn: Schema.Boolean }))

const claude = (config: AppConfig) =>
  Stream.unwrap(
    Effect.map(versionOf(claudeExecutable(config.claudeBin)), (version) => {
      if (Option.isSome(version))
        return Stream.make(ok("claude", version.value)).pipe(Stream.concat(login(config)))
      const detail = Option.isSome(config.claudeBin)
        ? "the program in CLAUDE_BIN does not start"
        : "claude is missing"
      return Stream.make(fault("claude", detail, `${INSTALL}; or set CLAUDE_BIN to the path of claude`))
    }),
  )

const login = (config: AppConfig) =>
  Effect.map(outputOf(claudeExecutable(config.claudeBin), "auth", "status", "--json"), (output) =>
    Option.match(
      Option.flatMap(output, ([text]) => Schema.decodeOption(Status)(text)),
      {
        onNone: () => note("login", "claude does not say whether it is logged in"),
        onSome: ({ loggedIn }) =>
          loggedIn
            ? ok("login", "claude is logged in")
            : fault(
                "login",
                "claude is not logged in",
                "npm run claude -- /login (installed as a package: npx clawdforge-claude /login), or set ANTHROPIC_API_KEY",
              ),
      },
    ),
  )

const acpx = (config: AppConfig) =>
  Effect.map(versionOf(acpxExecutable(config.acpxBin)), (version) => {
    if (config.agentBackend === "direct") {
      return ok(
        "acpx",
        Option.getOrElse(version, () => "missing, but the backend `direct` does not need it"),
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
  Effect.map(findAgents(config.agents), ({ executables, missing }) =>
    missing.size === 0
      ? ok("agents", [...executables.keys()].join(", "))
      : fault(
          "agents",
          [...missing].map(([name, reason]) => `${name} cannot be started: it ${reason}`).join("; "),
          "install them, or correct CLAWDFORGE_AGENTS: names of agents, or name=command",
        ),
  )

/** Checks the CLIs: whether they start, their versions, and the login of `claude`. Gives each finding when it is known. */
export const clis = (config: AppConfig): Stream.Stream<Finding, never, CommandExecutor.CommandExecutor> =>
  Stream.mergeAll([claude(config), Stream.fromEffect(acpx(config)), Stream.fromEffect(agents(config))], {
    concurrency: "unbounded",
  })
