import { Schema } from "effect"
import { AgentSessionRef } from "../../../domain/Session.ts"

/** What an agent answers, so far as it is used here: neither an agent nor the library vouches for any shape. */

const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullishOr(schema))

/** What an agent offers by naming it, whatever it says of it. */
const Offer = maybe(Schema.Unknown)

export const Capabilities = Schema.Struct({
  loadSession: maybe(Schema.Boolean),
  sessionCapabilities: maybe(Schema.Struct({ resume: Offer, close: Offer, delete: Offer })),
  _meta: maybe(Schema.Struct({ claudeCode: Offer })),
})
export type Capabilities = typeof Capabilities.Type

export const canResume = ({ sessionCapabilities }: Capabilities): boolean =>
  sessionCapabilities?.resume != null
export const canLoad = ({ loadSession }: Capabilities): boolean => loadSession === true

export const Hello = Schema.Struct({
  protocolVersion: Schema.Number,
  agentInfo: maybe(Schema.Struct({ name: maybe(Schema.String), version: maybe(Schema.String) })),
  agentCapabilities: maybe(Capabilities),
})

const Choice = Schema.Struct({ value: Schema.String })

const ConfigOption = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  category: maybe(Schema.String),
  currentValue: maybe(Schema.Unknown),
  options: maybe(Schema.Array(Schema.Union(Choice, Schema.Struct({ options: Schema.Array(Choice) })))),
})

const state = {
  modes: maybe(
    Schema.Struct({
      currentModeId: Schema.String,
      availableModes: Schema.Array(Schema.Struct({ id: Schema.String })),
    }),
  ),
  configOptions: maybe(Schema.Array(ConfigOption)),
}

/** What an agent says of a session that it has just opened. */
export const SessionState = Schema.Struct(state)
export type SessionState = typeof SessionState.Type

export const NewSession = Schema.Struct({ sessionId: AgentSessionRef, ...state })
