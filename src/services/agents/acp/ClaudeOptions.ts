import type { AgentSession } from "../AcpxClient.ts"
import type { Capabilities, SessionState } from "./Responses.ts"

/** Whether the agent is Claude's adapter, which has options of its own. */
const isClaude = ({ _meta }: Capabilities): boolean => _meta?.claudeCode != null

/** The messages of `claude` that tell of the provider's limits, and of waits before the provider is asked again. */
const PROVIDER_MESSAGES = [{ type: "rate_limit_event" }, { type: "system", subtype: "api_retry" }]

/**
 * The `_meta` of a session for Claude's adapter; nothing for other agents. It sets the model, and turns off the
 * suggestions of what the user might ask next. The adapter passes on what `claude` says of its provider. All other
 * restrictions are not left to the adapter: see `infra/acp/claude-for-agents.sh`.
 */
export const sessionMeta = (capabilities: Capabilities, { model }: AgentSession) => {
  if (!isClaude(capabilities)) return {}
  const options = { promptSuggestions: false, ...(model === null ? {} : { model }) }
  return { _meta: { claudeCode: { options, emitRawSDKMessages: PROVIDER_MESSAGES } } }
}

/**
 * The config option that sets the session's model in an agent other than Claude's adapter. Undefined when there is
 * nothing to set; "not_offered" when the agent does not offer the model.
 */
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
