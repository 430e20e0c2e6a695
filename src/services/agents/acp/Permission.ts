import type { RequestPermissionRequest, RequestPermissionResponse } from "@agentclientprotocol/sdk"
import type { PermissionMode } from "../../../domain/Session.ts"

/** What only looks. */
const READS = new Set(["read", "search"])

const YES = ["allow_once", "allow_always"] as const
const NO = ["reject_once", "reject_always"] as const

/** What an agent that asks for permission is told; a mode for which it offers no option is the call's end. */
export const permission = (
  mode: PermissionMode,
  { options, toolCall }: RequestPermissionRequest,
): RequestPermissionResponse => {
  const allowed = mode === "approve-all" || (mode === "approve-reads" && READS.has(toolCall.kind ?? ""))
  const option = (allowed ? YES : NO)
    .map((kind) => options.find((offered) => offered.kind === kind))
    .find((offered) => offered !== undefined)
  return {
    outcome:
      option === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId: option.optionId },
  }
}
