/**
 * A service that embeds clawdforge's layers in its own process, with an agent of its own in place of the CLI. Runs,
 * records, limits and events are clawdforge's. Nothing listens on a port, and `claude` need not be installed.
 */
import { ClaudeRunner, loadConfig, Run, Runs, services, Token, TokenStore } from "clawdforge"
import { Console, Context, Effect, Layer, Option } from "effect"

/** An agent that counts words. A real one could call another provider. */
const CountingAgent = Layer.succeed(ClaudeRunner, {
  run: ({ prompt }) =>
    Effect.succeed({
      text: JSON.stringify({ words: prompt.trim().split(/\s+/).length }),
      structured: Option.none(),
      stopReason: "end_turn",
      usage: {
        input_tokens: 0,
        output_tokens: 0,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
      },
      costUsd: 0,
      model: null,
      sessionId: null,
    }),
})

/** The service that the embedder offers. */
class Readability extends Context.Tag("example/Readability")<
  Readability,
  { readonly judge: (text: string) => Effect.Effect<string> }
>() {
  static readonly layer = Layer.effect(
    Readability,
    Effect.gen(function* () {
      const runs = yield* Runs
      const app = yield* (yield* TokenStore).named(Token.TokenName.make("readability"), Token.IN_PROCESS)
      return {
        judge: (text) =>
          Effect.gen(function* () {
            const run = yield* runs.open(Run.runRequest(text), app.id, Token.IN_PROCESS)
            const { result } = yield* run.answer
            return `${JSON.stringify(result)} in “${text}”`
          }).pipe(Effect.catchAll((failure) => Effect.succeed(`not judged: ${failure._tag}`))),
      }
    }),
  )
}

const program = Effect.flatMap(Readability, ({ judge }) =>
  Effect.forEach(["Two cups of flour.", "Stir."], (text) => Effect.flatMap(judge(text), Console.log)),
)

const main = Effect.flatMap(loadConfig, (config) =>
  Effect.provide(program, Layer.provide(Readability.layer, services(config, CountingAgent))),
)
await Effect.runPromise(main)
