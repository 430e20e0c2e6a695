import type { SessionRecord } from "../../domain/Session.ts"
import type { AgentSession } from "../agents/AcpxClient.ts"

/** Makes the view of a session that its agent gets. `cwd` is the session's directory. */
export const agentSessionOf = (
  session: Pick<SessionRecord, "id" | "tokenId" | "agent" | "model" | "permissionMode">,
  cwd: string,
): AgentSession => ({
  id: session.id,
  owner: session.tokenId,
  agent: session.agent,
  model: session.model,
  permissionMode: session.permissionMode,
  cwd,
})
