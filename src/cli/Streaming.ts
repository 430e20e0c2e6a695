import { Cause, Effect, Exit, Option, Ref, Stream } from "effect"
import { ForgeError } from "../client/Errors.ts"
import type { RunEvent } from "../client/StreamedEvents.ts"
import { EXIT, Failed } from "./Exit.ts"
import { Output } from "./Output.ts"
import { withProgress } from "./Progress.ts"
import { BREAK } from "./Speech.ts"

/** A stream's answer, when the stream has ended. */
export interface PrintedStream<Answer> {
  readonly answer: Answer
  /** Whether any text of the answer was printed. */
  readonly isShown: boolean
}

/**
 * Prints a stream's text piece by piece; shows the elapsed time until the first piece. `textOf` gives the text of a
 * message. Cancels the run, by `cancel`, if the command is interrupted or its output can no longer be written.
 */
export const printStream = <Answer, E, R, X>(
  events: Stream.Stream<RunEvent<Answer>, E, R>,
  textOf: (message: unknown) => string,
  cancel: (runId: string) => Effect.Effect<unknown, X>,
): Effect.Effect<PrintedStream<Answer>, E | Failed, R | Output> =>
  Effect.gen(function* () {
    const out = yield* Output
    const run = yield* Ref.make(Option.none<string>())
    /** The last character that was printed. */
    let last = ""
    const print = withProgress("asking", (hideProgress) =>
      Stream.runFoldEffect(events, Option.none<Answer>(), (answer, event) =>
        Effect.gen(function* () {
          if (event.type === "run") yield* Ref.set(run, Option.some(event.data.run_id))
          if (event.type === "resync")
            yield* out.notice("clawdforge: a part of the answer is no longer stored, and is missing here")
          if (event.type === "result") return Option.some(event.data)
          const text = event.type === "message" ? textOf(event.data) : ""
          if (text === "" || (text === BREAK && (last === "" || last === BREAK))) return answer
          last = text.slice(-1)
          yield* hideProgress
          yield* out.text(text)
          return answer
        }),
      ),
    )
    const answer = yield* Effect.onExit(print, (exit) =>
      isAbandoned(exit)
        ? Effect.flatMap(
            Ref.get(run),
            Option.match({ onNone: () => Effect.void, onSome: (id) => Effect.ignore(cancel(id)) }),
          )
        : Effect.void,
    )
    if (last !== "" && last !== BREAK) yield* out.line("")
    // A stream without a result fails, so there is an answer here.
    return { answer: Option.getOrThrow(answer), isShown: last !== "" }
  })

/** Whether the command stopped reading, by an interrupt or a failed output, while the service was still sending. */
const isAbandoned = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) &&
  !Option.exists(Cause.failureOption(exit.cause), (failure) => failure instanceof ForgeError)

/** Fails if the run was cancelled: its answer is incomplete. */
export const failIfCancelled = ({ stop_reason }: { readonly stop_reason: string }) =>
  Effect.flatMap(Output, ({ notice }) =>
    stop_reason === "cancelled"
      ? Effect.zipRight(notice("clawdforge: cancelled"), new Failed({ exitCode: EXIT.interrupted }))
      : Effect.void,
  )
