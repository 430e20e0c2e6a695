import { Duration, Effect, Option, Schedule } from "effect"
import { resultOf } from "../../../domain/Answer.ts"
import { addClaudeMessage, type AnswerText, NO_TEXT } from "../../../domain/AnswerText.ts"
import { diagnosed } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { OneShotSpec } from "../../../domain/Run.ts"
import { type ClaudeLine, isModelConfirmed, isOfAnswer, isShown } from "../../agents/claude/Protocol.ts"
import type { ClaudeAnswer } from "../../agents/claude/ClaudeAnswer.ts"
import { claudeRequest } from "../../agents/claude/ClaudeRequest.ts"
import { ClaudeRunner } from "../../agents/ClaudeRunner.ts"
import { ProviderSigns } from "../../agents/ProviderSigns.ts"
import { LoginMonitor } from "../../upkeep/LoginMonitor.ts"
import { WorkDirs } from "../../agents/WorkDirs.ts"
import { Files } from "../../files/Files.ts"
import { Journal } from "../../journal/Journal.ts"
import { makeFairQueue } from "../FairQueue.ts"
import { BYTES_PER_CHAR, FREE_CHARS } from "../../memory/MemoryBudget.ts"
import { OutputSchemas } from "../OutputSchemas.ts"
import { cancelledReport, reportOf } from "../Report.ts"
import type { Executor, StartedRun } from "./Executor.ts"
import { isRefusal } from "./Refusals.ts"

/** Characters that a place in the queue stands for: prompts that wait are in memory. */
const PLACE_CHARS = 512 * 1024

/** When the machine could not check whether an answer fits: once a second for half a minute, with the time of the checks. */
const CHECK_RETRY = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(30)).pipe(
  Schedule.upTo("30 seconds"),
)

/** Returns how many places of the queue a prompt takes: one for each 512 Ki characters that it begins. */
const placesOf = ({ input: { prompt, system = "" } }: OneShotSpec): number =>
  Math.max(1, Math.ceil((prompt.length + system.length) / PLACE_CHARS))

/** Limits of one-shots. */
export interface OneShotOptions {
  /** Runs that work at the same time. */
  readonly slots: number
  /** Places in the queue before them, of all apps together. */
  readonly maxWaiting: number
  /** How long a run may wait for a slot. */
  readonly maxWait: Duration.Duration
}

/**
 * Executes one-shot prompts on the `claude` CLI: in a fresh directory with the attached files, within `timeoutSecs`. When
 * it returns, fails or is interrupted, the processes and the directory are gone.
 */
export const makeOneShotExecutor = (options: OneShotOptions) =>
  Effect.gen(function* () {
    const files = yield* Files
    const logins = yield* LoginMonitor
    const journal = yield* Journal
    const runner = yield* ClaudeRunner
    const schemas = yield* OutputSchemas
    const workDirs = yield* WorkDirs
    const queue = yield* makeFairQueue<TokenId>(options)

    /** Asks the CLI. Returns its answer, or none if the run was cancelled first; the text by then; and how long it took. */
    const ask = Effect.fn("OneShot.ask")(function* (run: StartedRun<"run">) {
      const { spec, cancelled, elapsedMillis, setBegun } = run
      let written: AnswerText = NO_TEXT
      const signs = new ProviderSigns()
      const attempt = yield* logins.attempt(spec.model)
      let hasAnswer = false
      const onLines = (lines: ReadonlyArray<ClaudeLine>) =>
        Effect.suspend(() => {
          for (const { json } of lines) signs.add(json)
          const isAnswered = !hasAnswer && lines.some(isOfAnswer)
          hasAnswer ||= isAnswered
          const shown = lines.filter(isShown)
          for (const { json } of shown) written = addClaudeMessage(written, json)[0]
          const chars = written.text?.length ?? 0
          const texts = shown.map(({ text }) => text)
          return Effect.all(
            [
              Effect.when(setBegun(true), () => lines.some(isModelConfirmed)),
              // Told before the end: all other work may be refused until this one works.
              Effect.when(attempt.worked, () => isAnswered),
              run.holdAnswer(Math.max(0, chars - FREE_CHARS) * BYTES_PER_CHAR),
              texts.length === 0 ? Effect.void : journal.append(spec.id, texts),
            ],
            { discard: true },
          )
        })
      const onLongLine = (bytes: number) => run.holdAnswer(bytes * BYTES_PER_CHAR)
      const answering = Effect.gen(function* () {
        const dir = yield* workDirs.make(spec.id)
        const attached = yield* files.attach(spec.input.files, dir.cwd)
        return yield* runner.run(claudeRequest(spec, attached), dir, onLines, onLongLine).pipe(
          Effect.catchAll((failure) => Effect.flip(signs.explain(failure, spec.model))),
          Effect.tapBoth({ onSuccess: () => attempt.worked, onFailure: attempt.failed }),
        )
      })
      const answer = yield* Effect.raceFirst(
        Effect.asSome(answering),
        Effect.as(cancelled, Option.none<ClaudeAnswer>()),
      ).pipe(
        Effect.timeoutFail({
          duration: Duration.seconds(spec.timeoutSecs),
          onTimeout: () => signs.timedOut(spec.timeoutSecs),
        }),
        Effect.tapError((failure) => Effect.when(setBegun(false), () => isRefusal(failure) && !hasAnswer)),
      )
      // Taken before the scope closes: the end of the processes is not the run's time.
      return { answer, written: written.text ?? "", durationMs: yield* elapsedMillis }
    }, Effect.scoped)

    const resultFor = (answer: ClaudeAnswer, { outputSchema }: OneShotSpec) => {
      if (outputSchema === undefined) return Effect.succeed(resultOf(answer.text))
      const value = Option.getOrElse(answer.structured, () => resultOf(answer.text))
      return schemas.fits(outputSchema, value).pipe(
        // The answer has cost its price: a machine that is busy for a moment must not lose it.
        Effect.retry({ while: ({ _tag }) => _tag === "Overloaded", schedule: CHECK_RETRY }),
        Effect.mapError((failure) =>
          failure._tag === "AnswerMismatch" ? diagnosed(failure, { stopReason: answer.stopReason }) : failure,
        ),
        Effect.as(value),
      )
    }

    return {
      kind: "run",
      unstarted: cancelledReport("", 0),
      prepare: (spec) =>
        Effect.as(files.hold(spec.input.files), {
          enter: Effect.acquireRelease(queue.enter(spec.owner, placesOf(spec)), ({ leave }) => leave),
          inOrder: (accept) => accept,
        }),
      execute: Effect.fn("OneShot.execute")(function* (run: StartedRun<"run">) {
        yield* run.setBegun(false)
        // It may have become known meanwhile that it cannot work.
        if (run.hasWaited) yield* logins.admit(run.spec.model)
        const { answer, written, durationMs } = yield* ask(run)
        if (Option.isNone(answer)) return cancelledReport(written, durationMs)
        return reportOf(answer.value, yield* resultFor(answer.value, run.spec), durationMs)
      }),
    } satisfies Executor<"run">
  })
