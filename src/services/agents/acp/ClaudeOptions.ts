import type { AgentSession } from "../AcpxClient.ts"
import type { Capabilities } from "./Responses.ts"

/** Whether the agent is Claude's adapter, which has options of its own. */
export const isClaude = ({ _meta }: Capabilities): boolean => _meta?.claudeCode != null

/**
 * The messages of `claude` that tell of the provider's limits, of waits before the provider is asked again, and what the
 * model has said: its adapter does not say that an answer begins anew.
 */
const CLAUDE_MESSAGES = [
  { type: "rate_limit_event" },
  { type: "system", subtype: "api_retry" },
  { type: "assistant" },
]

/**
 * The `_meta` of a session for Claude's adapter; nothing for other agents. It sets the model, and turns off the
 * suggestions of what the user might ask next. The adapter passes on some messages of `claude`. All other
 * restrictions are not left to the adapter: see `infra/acp/claude-for-agents.sh`.
 */
export const sessionMeta = (capabilities: Capabilities, { model }: AgentSession) => {
  if (!isClaude(capabilities)) return {}
  const options = { promptSuggestions: false, ...(model === null ? {} : { model }) }
  return { _meta: { claudeCode: { options, emitRawSDKMessages: CLAUDE_MESSAGES } } }
}
