import type { RunFailure, TurnFailure } from "../../../domain/Failure.ts"

/** The failures of an agent that could not work, or whose provider refused. */
const REFUSALS: ReadonlySet<string> = new Set<(RunFailure | TurnFailure)["_tag"]>([
  "AgentUnavailable",
  "ExecutableMissing",
  "NotLoggedIn",
  "RateLimited",
  "ProviderOverloaded",
  "ProviderRefused",
  "ModelNotFound",
  "BillingRefused",
  "PromptTooLong",
])

/** Whether a failure says that nothing was done, provided that the agent has not begun to answer. */
export const isRefusal = ({ _tag }: RunFailure | TurnFailure): boolean => REFUSALS.has(_tag)
