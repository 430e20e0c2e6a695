import { Context, Effect, Layer, Option } from "effect"
import type { AgentFailure, StorageFailed } from "../domain/Failure.ts"
import type { ClaudeAnswer } from "../services/agents/claude/Outcome.ts"
import { decodeLine } from "../services/agents/claude/Protocol.ts"
import type { ClaudeRequest } from "../services/agents/claude/Request.ts"
import { ClaudeRunner, type Say as SayLines } from "../services/agents/ClaudeRunner.ts"
import { type Say, Script, unsaid } from "./Script.ts"

/** An answer of the agent, complete but for what the test cares about. */
export const claudeAnswer = (text: string, more: Partial<ClaudeAnswer> = {}): ClaudeAnswer => ({
  text,
  structured: Option.none(),
  stopReason: "end_turn",
  usage: { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  costUsd: 0,
  model: "mock",
  sessionId: null,
  ...more,
})

/** An agent that answers, fails or hangs as `reply` does; what it says before it answers is streamed as it comes. */
export const claudeRunner = (
  reply: (
    request: ClaudeRequest,
    say: Say<StorageFailed>,
  ) => Effect.Effect<ClaudeAnswer, AgentFailure | StorageFailed>,
) =>
  Layer.succeed(ClaudeRunner, {
    run: (request, _, print) =>
      Effect.suspend(() => {
        let isSilent = true
        const say: Say<StorageFailed> = (text) => {
          const begun = isSilent ? [event({ type: "message_start" })] : []
          isSilent = false
          const delta = { type: "text_delta", text }
          return printed(print, [...begun, event({ type: "content_block_delta", index: 0, delta })])
        }
        return Effect.tap(reply(request, say), (answer) =>
          isSilent ? Effect.void : printed(print, [whole(answer), result(answer)]),
        )
      }),
  })

const printed = (print: SayLines, messages: ReadonlyArray<object>) =>
  print(messages.flatMap((message) => Option.toArray(decodeLine(JSON.stringify(message)))))

const event = (event: object) => ({ type: "stream_event", event, parent_tool_use_id: null })

const whole = ({ text, model }: ClaudeAnswer) => ({
  type: "assistant",
  message: { type: "message", role: "assistant", model, content: [{ type: "text", text }] },
  parent_tool_use_id: null,
})

const result = (answer: ClaudeAnswer) => ({
  type: "result",
  subtype: "success",
  is_error: false,
  result: answer.text,
  stop_reason: answer.stopReason,
  usage: answer.usage,
  total_cost_usd: answer.costUsd,
})

/** A text, or as much of an answer as the test cares about. */
export type ClaudeReply = string | Partial<ClaudeAnswer>

const answerOf = (reply: ClaudeReply): ClaudeAnswer =>
  typeof reply === "string" ? claudeAnswer(reply) : claudeAnswer(reply.text ?? DEFAULT, reply)

const DEFAULT = "ok"

/** What `claude` does with one-shot prompts. By default it answers `ok`. */
export class ClaudeScript extends Script<ClaudeRequest, ClaudeReply, AgentFailure> {
  constructor(otherwise: (request: ClaudeRequest) => ClaudeReply = () => DEFAULT) {
    super(otherwise, (said) => said)
  }
}

/** The script of the `claude` that is there, see {@link scriptedClaude}. */
export class ScriptedClaude extends Context.Tag("clawdforge/testing/ScriptedClaude")<
  ScriptedClaude,
  ClaudeScript
>() {}

/**
 * A `claude` that does as a script says; it says every answer in its stream. Keep the script, or ask for it; without
 * one, each time that the layer is built there is a new one.
 */
export const scriptedClaude = (script?: ClaudeScript): Layer.Layer<ClaudeRunner | ScriptedClaude> =>
  Layer.suspend(() => scriptedBy(script ?? new ClaudeScript()))

const scriptedBy = (script: ClaudeScript) =>
  Layer.merge(
    Layer.succeed(ScriptedClaude, script),
    claudeRunner((request, say) =>
      Effect.gen(function* () {
        const { reply, said } = yield* script.perform(request, say)
        const answer = answerOf(reply)
        const rest = unsaid(answer.text, said)
        if (rest !== "") yield* say(rest)
        return answer
      }),
    ),
  )
