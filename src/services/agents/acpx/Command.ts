import type { PermissionMode } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { Executable } from "../ClaudeRunner.ts"
import { promptText } from "../acp/PromptText.ts"

/** acpx's own limit on a turn, so that no settings file can set one: beyond every limit of ours. */
const TURN_MAX_SECS = 86_400

const PERMISSION_FLAGS: Readonly<Record<PermissionMode, string>> = {
  "approve-all": "--approve-all",
  "approve-reads": "--approve-reads",
  "deny-all": "--deny-all",
}

/** What an agent is called, where it cannot be started. */
export const programOf = ({ command }: Executable): string => command.split("/").at(-1) ?? command

/** An agent's command as acpx splits it again. */
const commandLine = ({ command, args }: Executable): string =>
  [command, ...args].map((word) => `"${word.replace(/["\\]/g, "\\$&")}"`).join(" ")

/**
 * The arguments of a call of acpx about this session. All that a settings file could say is said here; what we do not
 * serve (files, terminals) is not offered to the agent.
 */
export const acpxArguments = (
  session: AgentSession,
  agent: Executable,
  ttlSecs: number,
  subcommand: ReadonlyArray<string>,
): ReadonlyArray<string> => [
  "--agent",
  commandLine(agent),
  "--cwd",
  session.cwd,
  "--format",
  "json",
  "--json-strict",
  PERMISSION_FLAGS[session.permissionMode],
  "--non-interactive-permissions",
  "deny",
  "--auth-policy",
  "skip",
  "--no-fs",
  "--no-terminal",
  "--timeout",
  String(TURN_MAX_SECS),
  "--ttl",
  String(ttlSecs),
  ...subcommand,
]

/** What acpx reads as a prompt: content blocks, so that no text is taken for them. */
export const promptInput = (prompt: string): string =>
  JSON.stringify([{ type: "text", text: promptText(prompt) }])
