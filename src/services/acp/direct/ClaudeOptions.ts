import type { AgentCapabilities, SessionConfigOption, SessionModeState } from "@agentclientprotocol/sdk"
import type { AgentSession } from "../../AcpxClient.ts"

/** What an agent says of a session that it has just opened. */
export interface SessionState {
  readonly modes?: SessionModeState | null | undefined
  readonly configOptions?: ReadonlyArray<SessionConfigOption> | null | undefined
}

/** Claude's adapter takes options of its own. */
const isClaude = ({ _meta }: AgentCapabilities): boolean => _meta?.["claudeCode"] != null

/**
 * What Claude's adapter is told with a session, and no other agent: the model, and to leave out what is not the
 * session's own. Settings, hooks, agents and CLAUDE.md of any directory are not read, MCP servers of the login are not
 * started, slash commands are off.
 */
export const sessionMeta = (capabilities: AgentCapabilities, { model }: AgentSession) =>
  isClaude(capabilities)
    ? {
        _meta: {
          claudeCode: {
            options: {
              settingSources: [],
              strictMcpConfig: true,
              promptSuggestions: false,
              allowDangerouslySkipPermissions: false,
              extraArgs: { "disable-slash-commands": null },
              ...(model === null ? {} : { model }),
            },
          },
        },
      }
    : {}

/** How another agent is told the session's model, by an option that it offers; undefined: it need not be told. */
export const modelOption = (
  capabilities: AgentCapabilities,
  { model }: AgentSession,
  { configOptions }: SessionState,
) => {
  if (model === null || isClaude(capabilities)) return undefined
  const option = configOptions?.find(({ category, type }) => category === "model" && type === "select")
  if (option?.type !== "select") return "not_offered"
  const values = option.options.flatMap((entry) => ("options" in entry ? entry.options : [entry]))
  if (!values.some(({ value }) => value === model)) return "not_offered"
  return option.currentValue === model ? undefined : { configId: option.id, value: model }
}
