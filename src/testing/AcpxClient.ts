import { Deferred, Effect, Layer, Option, Stream } from "effect"
import type { AgentRefusal, TurnFailed } from "../domain/Failure.ts"
import { AgentSessionRef } from "../domain/Session.ts"
import { type AcpMessage, AcpxClient, type AgentSession } from "../services/AcpxClient.ts"

/** A prompt, as the one who answers it sees it: which session's, and all that was asked in it before. */
export interface MockPrompt {
  readonly session: AgentSession
  readonly prompt: string
  readonly earlier: ReadonlyArray<string>
}

/** Agents that say what `reply` does, fail or hang as it does, and obey when they are cancelled; no process. */
export const acpxClient = (
  reply: (prompt: MockPrompt) => Effect.Effect<string, AgentRefusal | TurnFailed>,
): Layer.Layer<AcpxClient> =>
  Layer.sync(AcpxClient, () => {
    const histories = new Map<AgentSessionRef, Array<string>>()
    const cancels = new Map<AgentSessionRef, Deferred.Deferred<void>>()

    const turn = (session: AgentSession, ref: AgentSessionRef, prompt: string) =>
      Effect.gen(function* () {
        const cancelled = yield* Deferred.make<void>()
        cancels.set(ref, cancelled)
        const earlier = histories.get(ref) ?? []
        histories.set(ref, [...earlier, prompt])
        const said = yield* Effect.raceFirst(
          Effect.map(reply({ session, prompt, earlier }), Option.some),
          Effect.as(Deferred.await(cancelled), Option.none<string>()),
        )
        return Option.match(said, {
          onNone: () => [result("cancelled")],
          onSome: (text) => [chunk(ref, text), result("end_turn")],
        })
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
      prompt: (session, ref, prompt) => Stream.fromIterableEffect(turn(session, ref, prompt)),
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
