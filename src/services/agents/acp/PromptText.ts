/** Zero-width space. It is no white space to a trim, so no agent removes it. */
const ZERO_WIDTH_SPACE = "\u200B"

/**
 * Makes sure that an agent reads a prompt as text and not as a command. Some agents run a prompt that begins with a
 * slash, also after white space (Claude's adapter trims before it looks for `/mcp`). Such a prompt gets an invisible
 * first character.
 */
export const promptText = (prompt: string): string =>
  /^\s*\//.test(prompt) ? ZERO_WIDTH_SPACE + prompt : prompt
