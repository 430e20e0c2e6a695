import type { RequestPermissionRequest, RequestPermissionResponse } from "@agentclientprotocol/sdk"
import type { PermissionMode } from "../../../domain/Session.ts"

/** Kinds of tool calls that change nothing. */
const READ_KINDS = new Set(["read", "search"])

const ALLOW_OPTIONS = ["allow_once", "allow_always"] as const
const REJECT_OPTIONS = ["reject_once", "reject_always"] as const

/**
 * The answer to an agent's request for permission, by the session's mode. The tool call is cancelled when the agent
 * offers no option that fits.
 */
export const answerPermission = (
  mode: PermissionMode,
  { options, toolCall }: RequestPermissionRequest,
): RequestPermissionResponse => {
  const allowed = mode === "approve-all" || (mode === "approve-reads" && READ_KINDS.has(toolCall.kind ?? ""))
  const option = (allowed ? ALLOW_OPTIONS : REJECT_OPTIONS)
    .map((kind) => options.find((offered) => offered.kind === kind))
    .find((offered) => offered !== undefined)
  return {
    outcome:
      option === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId: option.optionId },
  }
}
