/** How the CLI is started. The same for every prompt, so that a process can be started before its prompt is known. */

/**
 * `--setting-sources ""` keeps out hooks, settings, agents and CLAUDE.md of any directory; `--restricted` and
 * `--tools` leave the model one tool, which reads files of the working directory, and no shell;
 * `--strict-mcp-config` keeps out the MCP servers of whoever is logged in. `--include-partial-messages` is for those who
 * watch the answer come.
 */
export const ARGUMENTS: ReadonlyArray<string> = [
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

/** What an operator may set otherwise. */
const DEFAULTS = {
  // The CLI's own ten silent retries take about three minutes; a client would rather know, and retry itself.
  CLAUDE_CODE_MAX_RETRIES: "2",
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
}

/** What nobody may set otherwise. */
const ENFORCED = {
  // `@path` in a prompt would be read and sent without a permission check, outside the working directory too.
  CLAUDE_CODE_DISABLE_ATTACHMENTS: "1",
  // Notes in the login's home would be sent along, and could be read.
  CLAUDE_CODE_DISABLE_AUTO_MEMORY: "1",
  // Branch, status and log of a repository around the data directory are none of the model's business.
  CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS: "1",
  DISABLE_AUTOUPDATER: "1",
}

/** The environment of a CLI process: the allow-listed part of ours, and our settings. */
export const environment = (
  inherited: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> => ({
  ...DEFAULTS,
  ...inherited,
  ...ENFORCED,
})

/** Values of the environment that must never show in an error. */
export const secretsIn = (env: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(env)
    .filter(([name]) => /KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|AUTH|HEADERS/i.test(name))
    .map(([, value]) => value)
