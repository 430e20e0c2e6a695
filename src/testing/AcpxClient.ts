import { Context, Deferred, Effect, Layer, Mailbox, Option, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../domain/Failure.ts"
import { SessionId } from "../domain/Ids.ts"
import { AgentSessionRef } from "../domain/Session.ts"
import { makeUnpromptedMessages, type UnpromptedMessages } from "../services/agents/acp/UnpromptedMessages.ts"
import { type AcpMessage, AcpxClient, type AgentSession } from "../services/agents/AcpxClient.ts"
import { remainingText, type Say, Script } from "./Script.ts"

/** A prompt to the agent of a session. */
export interface MockPrompt {
  readonly session: AgentSession
  readonly prompt: string
  /** The session's earlier prompts, oldest first. */
  readonly earlier: ReadonlyArray<string>
}

/** The failures of a turn on its agent. */
type AgentTurnFailure = AgentRefusal | TurnFailed

/** Which parts of {@link acpxClient} a test controls beside its replies. */
export interface AcpxClientOptions {
  /** What agents say while no turn is open. */
  readonly unprompted?: UnpromptedMessages
}

/**
 * A client of agents without processes. Each prompt is answered by `reply`, and fails or hangs as `reply` does. What
 * `reply` says is streamed at once. A cancelled prompt ends as cancelled at once.
 */
export const acpxClient = (
  reply: (prompt: MockPrompt, say: Say) => Effect.Effect<string, AgentTurnFailure>,
  { unprompted = makeUnpromptedMessages() }: AcpxClientOptions = {},
): Layer.Layer<AcpxClient> =>
  Layer.sync(AcpxClient, () => {
    const histories = new Map<AgentSessionRef, Array<string>>()
    const cancels = new Map<AgentSessionRef, Deferred.Deferred<void>>()

    const turn = (session: AgentSession, ref: AgentSessionRef, prompt: string) =>
      Effect.gen(function* () {
        const messages = yield* Mailbox.make<AcpMessage, AgentTurnFailure>()
        const cancelled = yield* Deferred.make<void>()
        cancels.set(ref, cancelled)
        const earlier = histories.get(ref) ?? []
        histories.set(ref, [...earlier, prompt])
        let streamed = ""
        const say: Say = (text) => {
          streamed += text
          return messages.offer(chunk(ref, text))
        }
        const answer = Effect.raceFirst(
          Effect.asSome(reply({ session, prompt, earlier }, say)),
          Effect.as(Deferred.await(cancelled), Option.none<string>()),
        )
        const sendAnswer = Effect.flatMap(answer, (text) => {
          if (Option.isNone(text)) return messages.offerAll([result("cancelled")])
          const rest = remainingText(text.value, streamed)
          return messages.offerAll([...(rest === "" ? [] : [chunk(ref, rest)]), result("end_turn")])
        })
        yield* Effect.forkScoped(Mailbox.into(sendAnswer, messages))
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
      unprompted: unprompted.stream,
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

/** What agents do with the turns of sessions, in the order in which the turns begin. By default they answer `ok`. */
export class AgentScript extends Script<MockPrompt, string, AgentTurnFailure> {
  /** Passes on what agents say while no turn is open. */
  readonly unprompted = makeUnpromptedMessages()

  constructor(defaultReply: (prompt: MockPrompt) => string = () => "ok") {
    super(defaultReply, (text) => text)
  }

  /** Has the agent of a session say something while no turn is open. */
  sayUnprompted(session: string, text: string): void {
    this.unprompted.offer(SessionId.make(session), chunk(`mock-${session}`, text))
  }
}

/** The script of {@link scriptedAgents}. */
export class ScriptedAgents extends Context.Tag("clawdforge/testing/ScriptedAgents")<
  ScriptedAgents,
  AgentScript
>() {}

/**
 * Agents that follow a script, which is also provided as {@link ScriptedAgents}. Without one, each build of the layer
 * makes a new script.
 */
export const scriptedAgents = (script?: AgentScript): Layer.Layer<AcpxClient | ScriptedAgents> =>
  Layer.suspend(() => layerOf(script ?? new AgentScript()))

const layerOf = (script: AgentScript) =>
  Layer.merge(
    Layer.succeed(ScriptedAgents, script),
    acpxClient((prompt, say) => Effect.map(script.perform(prompt, say), ({ reply }) => reply), script),
  )
