import { methods } from "@agentclientprotocol/sdk"
import { Option, Schema } from "effect"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import { isClaude } from "./ClaudeOptions.ts"
import type { Capabilities, SessionState } from "./Responses.ts"

/** A request to the agent that sets the model of a session. */
export interface ModelRequest {
  readonly method: string
  readonly params: object
}

/** The method of ACP's first drafts, which the library has dropped. Agents that know no config options still offer it. */
const SET_MODEL = "session/set_model"

/** The models that an agent offers by `session/set_model`. */
const decodeModels = Schema.decodeUnknownOption(
  Schema.Struct({
    currentModelId: Schema.String,
    availableModels: Schema.Array(Schema.Struct({ modelId: Schema.String })),
  }),
)

/**
 * The request that sets the session's model in an agent other than Claude's adapter, by the session's state at the
 * agent: by a config option, else by `session/set_model`. Undefined when there is nothing to set; "not_offered" when the
 * agent does not offer the model.
 */
export const modelRequest = (
  capabilities: Capabilities,
  { model }: AgentSession,
  ref: AgentSessionRef,
  state: SessionState,
): ModelRequest | "not_offered" | undefined => {
  if (model === null || isClaude(capabilities)) return undefined
  const offer = optionOffer(state, ref, model) ?? setModelOffer(state, ref, model)
  if (offer?.models.includes(model) !== true) return "not_offered"
  return offer.current === model ? undefined : offer.request
}

/** The models that an agent offers in one way, the one that is set, and the request that sets another. */
interface Offer {
  readonly models: ReadonlyArray<string>
  readonly current: unknown
  readonly request: ModelRequest
}

const optionOffer = (
  { configOptions }: SessionState,
  sessionId: AgentSessionRef,
  value: string,
): Offer | undefined => {
  const selections = configOptions?.filter(({ type }) => type === "select")
  // The category is optional in the protocol.
  const option =
    selections?.find(({ category }) => category === "model") ?? selections?.find(({ id }) => id === "model")
  if (option === undefined) return undefined
  const choices = option.options?.flatMap((entry) => ("options" in entry ? entry.options : [entry]))
  return {
    models: choices?.map((choice) => choice.value) ?? [],
    current: option.currentValue,
    request: {
      method: methods.agent.session.setConfigOption,
      params: { sessionId, configId: option.id, value },
    },
  }
}

const setModelOffer = (
  { models }: SessionState,
  sessionId: AgentSessionRef,
  modelId: string,
): Offer | undefined =>
  Option.match(decodeModels(models), {
    onNone: () => undefined,
    onSome: ({ availableModels, currentModelId }) => ({
      models: availableModels.map((available) => available.modelId),
      current: currentModelId,
      request: { method: SET_MODEL, params: { sessionId, modelId } },
    }),
  })
