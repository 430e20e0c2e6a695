import { Cause, Effect, Exit, Option, Ref, Stream } from "effect"
import { ForgeError } from "../client/Errors.ts"
import { applyDelta, type RunEvent } from "../client/StreamedEvents.ts"
import { EXIT, Failed } from "./Exit.ts"
import { Output } from "./Output.ts"
import { withProgress } from "./Progress.ts"

/** A stream's answer, when the stream has ended. */
export interface PrintedStream<Answer> {
  readonly answer: Answer
  /** The answer's text, as its deltas have it. */
  readonly text: string
  /** Whether a part of the stream was no longer stored: then a part of the text may be missing. */
  readonly isIncomplete: boolean
}

export interface PrintOptions<X> {
  /** Whether the text is printed piece by piece. When the agent begins anew, the text goes on on a new line. */
  readonly isLive: boolean
  readonly onMessage?: (message: unknown) => void
  /** Cancels a run if the command is interrupted, or its output can no longer be written. */
  readonly cancel: (runId: string) => Effect.Effect<unknown, X>
}

/** Reads a stream to its end, and shows the elapsed time until the first piece of text is printed. */
export const printStream = <Answer, E, R, X>(
  events: Stream.Stream<RunEvent<Answer>, E, R>,
  { isLive, onMessage, cancel }: PrintOptions<X>,
): Effect.Effect<PrintedStream<Answer>, E | Failed, R | Output> =>
  Effect.gen(function* () {
    const out = yield* Output
    const run = yield* Ref.make(Option.none<string>())
    let text = ""
    let isIncomplete = false
    /** The last character that was printed. */
    let last = "\n"
    const print = (hideProgress: Effect.Effect<void>, piece: string) =>
      Effect.suspend(() => {
        last = piece.slice(-1)
        return Effect.zipRight(hideProgress, out.text(piece))
      })
    const endLine = (hideProgress: Effect.Effect<void>) =>
      Effect.suspend(() => (last === "\n" ? Effect.void : print(hideProgress, "\n")))
    const reading = withProgress("asking", (hideProgress) =>
      Stream.runFoldEffect(events, Option.none<Answer>(), (answer, event) =>
        Effect.gen(function* () {
          switch (event.type) {
            case "run":
              yield* Ref.set(run, Option.some(event.data.run_id))
              break
            case "message":
              onMessage?.(event.data)
              break
            case "delta":
              text = applyDelta(text, event.data)
              if (isLive)
                yield* "reset" in event.data ? endLine(hideProgress) : print(hideProgress, event.data.text)
              break
            case "resync":
              isIncomplete = true
              break
            case "result":
              return Option.some(event.data)
          }
          return answer
        }),
      ),
    )
    const answer = yield* Effect.onExit(reading, (exit) =>
      isAbandoned(exit)
        ? Effect.flatMap(
            Ref.get(run),
            Option.match({ onNone: () => Effect.void, onSome: (id) => Effect.ignore(cancel(id)) }),
          )
        : Effect.void,
    )
    yield* endLine(Effect.void)
    // A stream without a result fails, so there is an answer here.
    return { answer: Option.getOrThrow(answer), text, isIncomplete }
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
