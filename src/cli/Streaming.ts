import { Effect, Option, Ref, Stream } from "effect"
import type { RunEvent } from "../client/StreamedEvents.ts"
import { Output } from "./Output.ts"
import { withProgress } from "./Progress.ts"

/** What was streamed, when it is over. */
export interface Streamed<Answer> {
  readonly answer: Answer
  /** Whether any of its words were shown. */
  readonly isShown: boolean
}

/**
 * Shows a stream's words as they come, after a line that says how long it has been; cancels the run when the command is
 * interrupted, as nobody would hear its answer.
 */
export const show = <Answer, E, R, X>(
  events: Stream.Stream<RunEvent<Answer>, E, R>,
  wordsOf: (message: unknown) => string,
  cancel: (runId: string) => Effect.Effect<unknown, X>,
): Effect.Effect<Streamed<Answer>, E, R | Output> =>
  Effect.gen(function* () {
    const out = yield* Output
    const run = yield* Ref.make(Option.none<string>())
    let isShown = false
    const taken = withProgress("asking", (quiet) =>
      Stream.runFoldEffect(events, Option.none<Answer>(), (answer, event) =>
        Effect.gen(function* () {
          if (event.type === "run") yield* Ref.set(run, Option.some(event.data.run_id))
          if (event.type === "resync") yield* out.remark("clawdforge: a part of the answer is kept no more")
          if (event.type === "result") return Option.some(event.data)
          const words = event.type === "message" ? wordsOf(event.data) : ""
          if (words === "") return answer
          isShown = true
          yield* quiet
          yield* out.text(words)
          return answer
        }),
      ),
    )
    const answer = yield* Effect.onInterrupt(taken, () =>
      Effect.flatMap(
        Ref.get(run),
        Option.match({ onNone: () => Effect.void, onSome: (id) => Effect.ignore(cancel(id)) }),
      ),
    )
    if (isShown) yield* out.line("")
    // A stream that ends well has had its result.
    return { answer: Option.getOrThrow(answer), isShown }
  })
