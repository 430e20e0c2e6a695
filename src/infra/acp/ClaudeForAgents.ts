import { join } from "node:path"

/**
 * Environment variables that make an ACP adapter start `claude` through our wrapper script. The wrapper turns off what
 * the adapter leaves on: settings and hooks of the working directory, MCP servers, slash commands.
 */
export const claudeForAgents = (claude: string): Readonly<Record<string, string>> => ({
  CLAUDE_CODE_EXECUTABLE: join(import.meta.dirname, "claude-for-agents.sh"),
  CLAUDE_REAL_EXECUTABLE: claude,
})
