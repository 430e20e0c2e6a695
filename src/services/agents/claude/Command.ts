/**
 * The CLI's arguments. They are the same for every prompt, so that a process can be started before its prompt is known.
 *
 * `--setting-sources ""` keeps out hooks, settings, agents and CLAUDE.md of any directory. `--restricted` and `--tools`
 * leave the model one tool, which reads files in the working directory, and no shell. `--strict-mcp-config` keeps out
 * the MCP servers of the user who is logged in. `--include-partial-messages` is for clients that stream the answer.
 */
export const CLAUDE_ARGUMENTS: ReadonlyArray<string> = [
  "-p",
  "--input-format",
  "stream-json",
  "--output-format",
  "stream-json",
  "--verbose",
  "--include-partial-messages",
  "--setting-sources",
  "",
  "--no-session-persistence",
  "--restricted",
  "--tools",
  "Read",
  "--strict-mcp-config",
  "--disable-slash-commands",
  "--permission-mode",
  "dontAsk",
]

/** Settings that an operator may change. */
const DEFAULTS = {
  // The CLI's own default is ten silent retries, about three minutes. A client should know sooner and retry itself.
  CLAUDE_CODE_MAX_RETRIES: "2",
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
}

/** Settings that an operator cannot change. */
const ENFORCED = {
  // The CLI would read and send a file that a prompt names as `@path`: without a permission check, from any directory.
  CLAUDE_CODE_DISABLE_ATTACHMENTS: "1",
  // The CLI would send notes from the home directory of its user, and the model could read them.
  CLAUDE_CODE_DISABLE_AUTO_MEMORY: "1",
  // The model must not see branch, status and log of a git repository that the data directory is in.
  CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS: "1",
  DISABLE_AUTOUPDATER: "1",
}

/** The environment of a CLI process: the allow-listed part of the service's own, and the settings above. */
export const claudeEnvironment = (
  inherited: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> => ({
  ...DEFAULTS,
  ...inherited,
  ...ENFORCED,
})
