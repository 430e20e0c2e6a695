/** Zero width, and no white space: no agent trims it away. */
const INVISIBLE = "\u200B"

/**
 * A prompt as an agent gets it: text, and nothing but text. One that begins with a slash, after white space too, would
 * be a command to some (claude's adapter trims before it looks for `/mcp`); it is given something invisible to begin
 * with.
 */
export const promptText = (prompt: string): string => (/^\s*\//.test(prompt) ? INVISIBLE + prompt : prompt)
