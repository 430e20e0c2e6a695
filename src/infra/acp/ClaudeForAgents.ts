import { join } from "node:path"

/**
 * What makes an ACP adapter start this `claude` by way of our wrapper, which closes what the adapter leaves open: the
 * settings and hooks of a working directory, MCP servers, slash commands.
 */
export const claudeForAgents = (claude: string): Readonly<Record<string, string>> => ({
  CLAUDE_CODE_EXECUTABLE: join(import.meta.dirname, "claude-for-agents.sh"),
  CLAUDE_REAL_EXECUTABLE: claude,
})
