import { Schema } from "effect"
import { nullish } from "../../../domain/Json.ts"
import { AgentSessionRef } from "../../../domain/Session.ts"

/**
 * The parts of an agent's responses that are used here. They are decoded because neither the agent nor the ACP library
 * guarantees any shape.
 */

/** A capability that an agent offers if the field is there, whatever its value is. */
const Capability = nullish(Schema.Unknown)

/** What an agent can do, as it says in the handshake. */
export const Capabilities = Schema.Struct({
  loadSession: nullish(Schema.Boolean),
  sessionCapabilities: nullish(Schema.Struct({ resume: Capability, close: Capability, delete: Capability })),
  _meta: nullish(Schema.Struct({ claudeCode: Capability })),
})
export type Capabilities = typeof Capabilities.Type

/** Whether the agent can resume a session without sending its old messages again. */
export const canResume = ({ sessionCapabilities }: Capabilities): boolean =>
  sessionCapabilities?.resume != null
/** Whether the agent can resume a session by sending its old messages again. */
export const canLoad = ({ loadSession }: Capabilities): boolean => loadSession === true

export const InitializeResponse = Schema.Struct({
  protocolVersion: Schema.Number,
  agentInfo: nullish(Schema.Struct({ name: nullish(Schema.String), version: nullish(Schema.String) })),
  agentCapabilities: nullish(Capabilities),
})

const Choice = Schema.Struct({ value: Schema.String })

const ConfigOption = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  category: nullish(Schema.String),
  currentValue: nullish(Schema.Unknown),
  options: nullish(Schema.Array(Schema.Union(Choice, Schema.Struct({ options: Schema.Array(Choice) })))),
})

const sessionStateFields = {
  modes: nullish(
    Schema.Struct({
      currentModeId: Schema.String,
      availableModes: Schema.Array(Schema.Struct({ id: Schema.String })),
    }),
  ),
  configOptions: nullish(Schema.Array(ConfigOption)),
  /** No part of the protocol any more, so it may have any shape. */
  models: Schema.optional(Schema.Unknown),
}

/** The state of a session that the agent has just opened. */
export const SessionState = Schema.Struct(sessionStateFields)
export type SessionState = typeof SessionState.Type

export const NewSessionResponse = Schema.Struct({ sessionId: AgentSessionRef, ...sessionStateFields })
