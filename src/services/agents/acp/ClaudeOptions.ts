import type { AgentSession } from "../AcpxClient.ts"
import type { Capabilities, SessionState } from "./Answers.ts"

/** Claude's adapter takes options of its own. */
const isClaude = ({ _meta }: Capabilities): boolean => _meta?.claudeCode != null

/**
 * What Claude's adapter is told with a session, and no other agent: its model, and not to ask for what the user might
 * say next. What else must not be is not left to the adapter: see `infra/acp/claude-for-agents.sh`.
 */
export const sessionMeta = (capabilities: Capabilities, { model }: AgentSession) => {
  if (!isClaude(capabilities)) return {}
  const options = { promptSuggestions: false, ...(model === null ? {} : { model }) }
  return { _meta: { claudeCode: { options } } }
}

/** How another agent is told the session's model, by an option that it offers; undefined: it need not be told. */
export const modelOption = (
  capabilities: Capabilities,
  { model }: AgentSession,
  { configOptions }: SessionState,
) => {
  if (model === null || isClaude(capabilities)) return undefined
  const option = configOptions?.find(({ category, type }) => category === "model" && type === "select")
  const values = option?.options?.flatMap((entry) => ("options" in entry ? entry.options : [entry]))
  if (option === undefined || values?.some(({ value }) => value === model) !== true) return "not_offered"
  return option.currentValue === model ? undefined : { configId: option.id, value: model }
}
