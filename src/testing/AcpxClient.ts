import { Context, Deferred, Effect, Layer, Mailbox, Option, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../domain/Failure.ts"
import { AgentSessionRef } from "../domain/Session.ts"
import { type AcpMessage, AcpxClient, type AgentSession } from "../services/agents/AcpxClient.ts"
import { type Say, Script, unsaid } from "./Script.ts"

/** A prompt, as the one who answers it sees it: which session's, and all that was asked in it before. */
export interface MockPrompt {
  readonly session: AgentSession
  readonly prompt: string
  readonly earlier: ReadonlyArray<string>
}

/** A way for an agent to fail a turn. */
type Failing = AgentRefusal | TurnFailed

/**
 * Agents that say what `reply` does, fail or hang as it does, and obey when they are cancelled; no process. What they
 * say before they answer comes as it is said.
 */
export const acpxClient = (
  reply: (prompt: MockPrompt, say: Say) => Effect.Effect<string, Failing>,
): Layer.Layer<AcpxClient> =>
  Layer.sync(AcpxClient, () => {
    const histories = new Map<AgentSessionRef, Array<string>>()
    const cancels = new Map<AgentSessionRef, Deferred.Deferred<void>>()

    const turn = (session: AgentSession, ref: AgentSessionRef, prompt: string) =>
      Effect.gen(function* () {
        const messages = yield* Mailbox.make<AcpMessage, Failing>()
        const cancelled = yield* Deferred.make<void>()
        cancels.set(ref, cancelled)
        const earlier = histories.get(ref) ?? []
        histories.set(ref, [...earlier, prompt])
        let said = ""
        const say: Say = (text) => {
          said += text
          return messages.offer(chunk(ref, text))
        }
        const answered = Effect.raceFirst(
          Effect.asSome(reply({ session, prompt, earlier }, say)),
          Effect.as(Deferred.await(cancelled), Option.none<string>()),
        )
        const answering = Effect.flatMap(answered, (answer) => {
          if (Option.isNone(answer)) return messages.offerAll([result("cancelled")])
          const rest = unsaid(answer.value, said)
          return messages.offerAll([...(rest === "" ? [] : [chunk(ref, rest)]), result("end_turn")])
        })
        yield* Effect.forkScoped(Mailbox.into(answering, messages))
        return Mailbox.toStream(messages)
      })

    return {
      open: ({ id }, left) =>
        Effect.sync(() => {
          const ref = Option.match(left, {
            onNone: () => AgentSessionRef.make(`mock-${id}`),
            onSome: ({ ref }) => ref,
          })
          histories.set(ref, histories.get(ref) ?? [])
          return ref
        }),
      prompt: (session, ref, prompt) => Stream.unwrapScoped(turn(session, ref, prompt)),
      cancel: (_, ref) =>
        Effect.suspend(() => {
          const cancelled = cancels.get(ref)
          return cancelled === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(cancelled, undefined))
        }),
      close: () => Effect.void,
      erase: (_, ref) => Effect.sync(() => void histories.delete(ref)),
      endOf: () => Effect.void,
      endAll: Effect.void,
      inspect: (agent) => Effect.succeed({ name: agent, version: "mock", resumable: true, erasable: true }),
    }
  })

const chunk = (sessionId: string, text: string): AcpMessage => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: { sessionId, update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } } },
})

const result = (stopReason: string): AcpMessage => ({ jsonrpc: "2.0", id: 1, result: { stopReason } })

/** What agents do with the turns of sessions, in the order in which they begin. By default they answer `ok`. */
export class AgentScript extends Script<MockPrompt, string, Failing> {
  constructor(otherwise: (prompt: MockPrompt) => string = () => "ok") {
    super(otherwise, (said) => said)
  }
}

/** The script of the agents that are there, see {@link scriptedAgents}. */
export class ScriptedAgents extends Context.Tag("clawdforge/testing/ScriptedAgents")<
  ScriptedAgents,
  AgentScript
>() {}

/**
 * Agents that do as a script says. Keep the script, or ask for it; without one, each time that the layer is built there
 * is a new one.
 */
export const scriptedAgents = (script?: AgentScript): Layer.Layer<AcpxClient | ScriptedAgents> =>
  Layer.suspend(() => scriptedBy(script ?? new AgentScript()))

const scriptedBy = (script: AgentScript) =>
  Layer.merge(
    Layer.succeed(ScriptedAgents, script),
    acpxClient((prompt, say) => Effect.map(script.perform(prompt, say), ({ reply }) => reply)),
  )
