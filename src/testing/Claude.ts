import { Context, Effect, Layer, Option } from "effect"
import type { AgentFailure, Overloaded, StorageFailed } from "../domain/Failure.ts"
import type { ClaudeAnswer } from "../services/agents/claude/ClaudeAnswer.ts"
import { decodeLine, MODEL_REQUEST } from "../services/agents/claude/Protocol.ts"
import type { ClaudeRequest } from "../services/agents/claude/ClaudeRequest.ts"
import { ClaudeRunner, type OnLines } from "../services/agents/ClaudeRunner.ts"
import { remainingText, type Say, Script } from "./Script.ts"

/** Makes an answer of `claude`. `more` replaces fields that the test is about. */
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

/** A `claude` without a process. It answers, fails or hangs as `reply` does. What `reply` says is streamed at once. */
export const claudeRunner = (
  reply: (
    request: ClaudeRequest,
    say: Say<Overloaded | StorageFailed>,
  ) => Effect.Effect<ClaudeAnswer, AgentFailure | Overloaded | StorageFailed>,
) =>
  Layer.succeed(ClaudeRunner, {
    run: (request, _, print) =>
      Effect.suspend(() => {
        let hasSpoken = false
        const say: Say<Overloaded | StorageFailed> = (text) => {
          const start = hasSpoken ? [] : [streamEvent({ type: "message_start" })]
          hasSpoken = true
          const delta = { type: "text_delta", text }
          return printMessages(print, [
            ...start,
            streamEvent({ type: "content_block_delta", index: 0, delta }),
          ])
        }
        // As the CLI does before it gets the prompt.
        const asked = Effect.zipRight(printMessages(print, [MODEL_CONFIRMED]), reply(request, say))
        return Effect.tap(asked, (answer) =>
          hasSpoken ? printMessages(print, [assistantMessage(answer), resultMessage(answer)]) : Effect.void,
        )
      }),
  })

/** Prints messages as the lines that the CLI would print. */
const printMessages = (print: OnLines, messages: ReadonlyArray<object>) =>
  print(messages.flatMap((message) => Option.toArray(decodeLine(JSON.stringify(message)))))

const MODEL_CONFIRMED = {
  type: "control_response",
  response: { subtype: "success", request_id: MODEL_REQUEST },
}

const streamEvent = (event: object) => ({ type: "stream_event", event, parent_tool_use_id: null })

const assistantMessage = ({ text, model }: ClaudeAnswer) => ({
  type: "assistant",
  message: { type: "message", role: "assistant", model, content: [{ type: "text", text }] },
  parent_tool_use_id: null,
})

const resultMessage = (answer: ClaudeAnswer) => ({
  type: "result",
  subtype: "success",
  is_error: false,
  result: answer.text,
  stop_reason: answer.stopReason,
  usage: answer.usage,
  total_cost_usd: answer.costUsd,
})

/** An answer: its text, or the fields that the test is about. */
export type ClaudeReply = string | Partial<ClaudeAnswer>

const completeAnswer = (reply: ClaudeReply): ClaudeAnswer =>
  typeof reply === "string" ? claudeAnswer(reply) : claudeAnswer(reply.text ?? DEFAULT_TEXT, reply)

const DEFAULT_TEXT = "ok"

/** What `claude` does with one-shot prompts. By default it answers `ok`. */
export class ClaudeScript extends Script<ClaudeRequest, ClaudeReply, AgentFailure> {
  constructor(defaultReply: (request: ClaudeRequest) => ClaudeReply = () => DEFAULT_TEXT) {
    super(defaultReply, (text) => text)
  }
}

/** The script of {@link scriptedClaude}. */
export class ScriptedClaude extends Context.Tag("clawdforge/testing/ScriptedClaude")<
  ScriptedClaude,
  ClaudeScript
>() {}

/**
 * A `claude` that follows a script, which is also provided as {@link ScriptedClaude}. It streams every answer. Without
 * a script, each build of the layer makes a new one.
 */
export const scriptedClaude = (script?: ClaudeScript): Layer.Layer<ClaudeRunner | ScriptedClaude> =>
  Layer.suspend(() => layerOf(script ?? new ClaudeScript()))

const layerOf = (script: ClaudeScript) =>
  Layer.merge(
    Layer.succeed(ScriptedClaude, script),
    claudeRunner((request, say) =>
      Effect.gen(function* () {
        const { reply, streamed } = yield* script.perform(request, say)
        const answer = completeAnswer(reply)
        const rest = remainingText(answer.text, streamed)
        if (rest !== "") yield* say(rest)
        return answer
      }),
    ),
  )
