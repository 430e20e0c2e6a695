import { Cause, Effect, Exit, Option, Ref, Stream } from "effect"
import { ForgeError } from "../client/Errors.ts"
import type { RunEvent } from "../client/StreamedEvents.ts"
import { EXIT, Failed } from "./Exit.ts"
import { Output } from "./Output.ts"
import { withProgress } from "./Progress.ts"
import { BREAK } from "./Speech.ts"

/** What was streamed, when it is over. */
export interface Streamed<Answer> {
  readonly answer: Answer
  /** Whether any of its words were shown. */
  readonly isShown: boolean
}

/**
 * Shows a stream's words as they come, after a line that says how long it has been. When nobody would hear the answer any
 * more, by an interrupt or as nobody reads the output, the run is cancelled, by whoever may.
 */
export const show = <Answer, E, R, X>(
  events: Stream.Stream<RunEvent<Answer>, E, R>,
  wordsOf: (message: unknown) => string,
  cancel: (runId: string) => Effect.Effect<unknown, X>,
): Effect.Effect<Streamed<Answer>, E | Failed, R | Output> =>
  Effect.gen(function* () {
    const out = yield* Output
    const run = yield* Ref.make(Option.none<string>())
    let shown = ""
    const taken = withProgress("asking", (quiet) =>
      Stream.runFoldEffect(events, Option.none<Answer>(), (answer, event) =>
        Effect.gen(function* () {
          if (event.type === "run") yield* Ref.set(run, Option.some(event.data.run_id))
          if (event.type === "resync") yield* out.remark("clawdforge: a part of the answer is kept no more")
          if (event.type === "result") return Option.some(event.data)
          const words = event.type === "message" ? wordsOf(event.data) : ""
          if (words === "" || (words === BREAK && (shown === "" || shown === BREAK))) return answer
          shown = words.slice(-1)
          yield* quiet
          yield* out.text(words)
          return answer
        }),
      ),
    )
    const answer = yield* Effect.onExit(taken, (exit) =>
      isUnheard(exit)
        ? Effect.flatMap(
            Ref.get(run),
            Option.match({ onNone: () => Effect.void, onSome: (id) => Effect.ignore(cancel(id)) }),
          )
        : Effect.void,
    )
    if (shown !== "" && shown !== BREAK) yield* out.line("")
    // A stream that ends well has had its result.
    return { answer: Option.getOrThrow(answer), isShown: shown !== "" }
  })

/** Ended though the service had more to say. */
const isUnheard = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) &&
  !Option.exists(Cause.failureOption(exit.cause), (failure) => failure instanceof ForgeError)

/** Half an answer is none. */
export const unlessCancelled = ({ stop_reason }: { readonly stop_reason: string }) =>
  Effect.flatMap(Output, ({ remark }) =>
    stop_reason === "cancelled"
      ? Effect.zipRight(remark("clawdforge: cancelled"), new Failed({ exitCode: EXIT.interrupted }))
      : Effect.void,
  )
