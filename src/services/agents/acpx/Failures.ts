import { Option, Schema } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  ModelNotFound,
  NotLoggedIn,
  type TurnFailed,
} from "../../../domain/Failure.ts"
import type { Confidential } from "../../../domain/Redaction.ts"
import { providerFailureOf } from "../ProviderFailures.ts"
import { AUTH_REQUIRED, NOT_OFFERED, reasonOf, turnFailureOf } from "../acp/Failures.ts"

/** An error that acpx prints, its own or the agent's. */
export const AcpxError = Schema.Struct({
  code: Schema.Number,
  message: Schema.String,
  data: Schema.optional(Schema.Unknown),
})
export type AcpxError = typeof AcpxError.Type

const AcpxData = Schema.Struct({
  acpxCode: Schema.optional(Schema.String),
  detailCode: Schema.optional(Schema.String),
})

const dataOf = ({ data }: AcpxError): typeof AcpxData.Type =>
  Option.getOrElse(Schema.decodeUnknownOption(AcpxData)(data), () => ({}))

const commonFailure = (error: AcpxError, program: string): Option.Option<AgentRefusal> => {
  const { detailCode } = dataOf(error)
  if (error.code === AUTH_REQUIRED || detailCode === "AUTH_REQUIRED") return Option.some(new NotLoggedIn({}))
  if (detailCode === "AGENT_SPAWN_ENOENT") return Option.some(new ExecutableMissing({ program }))
  return Option.none()
}

/** The failure for an error while a session was opened. acpx sets its model then, which Claude's adapter may not know. */
export const openingFailure = (
  error: AcpxError,
  program: string,
  confidential: Confidential,
): AgentRefusal | ModelNotFound => {
  if (/did not advertise/.test(error.message)) return new ModelNotFound({ reason: NOT_OFFERED })
  const ofProvider = providerFailureOf({ text: reasonOf(error, confidential), model: null, now: 0 })
  return ofProvider?._tag === "ModelNotFound" ? ofProvider : unpromptedFailure(error, program, confidential)
}

/** The failure for an error before the agent had the prompt. */
export const unpromptedFailure = (
  error: AcpxError,
  program: string,
  confidential: Confidential,
): AgentRefusal =>
  Option.getOrElse(
    commonFailure(error, program),
    () => new AgentUnavailable({ reason: reasonOf(error, confidential) }),
  )

/** The failure for an error after the agent had the prompt. */
export const turnFailure = (
  error: AcpxError,
  program: string,
  confidential: Confidential,
): AgentRefusal | TurnFailed =>
  Option.getOrElse(commonFailure(error, program), () => turnFailureOf(error, confidential))
