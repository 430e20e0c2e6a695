import type { PermissionMode } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { Executable } from "../Processes.ts"
import { promptText } from "../acp/PromptText.ts"

/** acpx's limit for a turn. It is set so that no settings file can set one, and is longer than every limit of ours. */
const TURN_MAX_SECS = 86_400

const PERMISSION_FLAGS: Readonly<Record<PermissionMode, string>> = {
  "approve-all": "--approve-all",
  "approve-reads": "--approve-reads",
  "deny-all": "--deny-all",
}

/** An agent's command as one line, quoted in the way that acpx splits it. */
export const commandLine = ({ command, args }: Executable): string =>
  [command, ...args].map((word) => `"${word.replace(/["\\]/g, "\\$&")}"`).join(" ")

/**
 * The arguments of a call of acpx about a session. They set everything that a settings file could set. Files and
 * terminals are not offered to the agent, because this service does not serve them.
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

/** A prompt as acpx reads it from stdin. It is sent as content blocks: a plain text could be mistaken for such blocks. */
export const promptInput = (prompt: string): string =>
  JSON.stringify([{ type: "text", text: promptText(prompt) }])
