import { Clock, Deferred, Duration, Effect, Option } from "effect"
import { resultOf } from "../../../domain/Answer.ts"
import { diagnosed, type RunFailure, RunTimedOut } from "../../../domain/Failure.ts"
import type { StoredFile } from "../../../domain/File.ts"
import type { RunId } from "../../../domain/Ids.ts"
import type { RunRequest } from "../../../domain/Run.ts"
import type { ClaudeAnswer } from "../../agents/claude/Outcome.ts"
import { type ClaudeLine, isShown } from "../../agents/claude/Protocol.ts"
import { claudeRequest } from "../../agents/claude/Request.ts"
import { SpokenText } from "../../agents/claude/SpokenText.ts"
import { ClaudeRunner } from "../../agents/ClaudeRunner.ts"
import { EventLog } from "../../journal/EventLog.ts"
import { Files } from "../../files/Files.ts"
import { OutputSchemas } from "../OutputSchemas.ts"
import { WorkDirs } from "../../agents/WorkDirs.ts"
import { cancelledReport, type RunReport, reportOf } from "../Report.ts"

/** What a run was accepted with. */
export interface Accepted {
  readonly request: RunRequest
  /** Whether the CLI itself can enforce the request's `output_schema`. */
  readonly native: boolean
  readonly files: ReadonlyArray<StoredFile>
  /** Done when the run is to end, as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
}

/**
 * What a run does in its slot: a directory, the files in it, the agent's answer within `timeoutSecs`, the result that
 * the request asks for. When it ends, on whatever way, its processes and its directory are gone.
 */
export const makeWork = Effect.gen(function* () {
  const files = yield* Files
  const log = yield* EventLog
  const runner = yield* ClaudeRunner
  const schemas = yield* OutputSchemas
  const workDirs = yield* WorkDirs

  /** The agent's answer, if the run was not cancelled before, and when it came; ending processes takes no time of the run's. */
  const ask = Effect.fn("Runs.ask")(function* (id: RunId, accepted: Accepted, spoken: SpokenText) {
    const { request, native, files: held, cancelled } = accepted
    const { timeoutSecs } = request
    const say = (lines: ReadonlyArray<ClaudeLine>) =>
      Effect.suspend(() => {
        const shown = lines.filter(isShown)
        for (const line of shown) spoken.hear(line)
        return shown.length === 0
          ? Effect.void
          : log.append(
              id,
              shown.map(({ text }) => text),
            )
      })
    const answering = Effect.gen(function* () {
      const dir = yield* workDirs.make(id)
      const attached = yield* files.attach(held, dir.cwd)
      return yield* runner.run(claudeRequest(request, { native, files: attached }), dir, say)
    })
    const unlessCancelled = Effect.raceFirst(
      Effect.asSome(answering),
      Effect.as(Deferred.await(cancelled), Option.none()),
    )
    const answer = yield* Effect.timeoutFail(unlessCancelled, {
      duration: Duration.seconds(timeoutSecs),
      onTimeout: () => new RunTimedOut({ timeoutSecs }),
    })
    return { answer, answeredAt: yield* Clock.currentTimeMillis }
  }, Effect.scoped)

  const resultFor = (answer: ClaudeAnswer, { outputSchema }: RunRequest) => {
    if (outputSchema === undefined) return Effect.succeed(resultOf(answer.text))
    const value = Option.getOrElse(answer.structured, () => resultOf(answer.text))
    return schemas.fits(outputSchema, value).pipe(
      Effect.mapError((mismatch) => diagnosed(mismatch, { stopReason: answer.stopReason })),
      Effect.as(value),
    )
  }

  return Effect.fn("Runs.work")(function* (id: RunId, accepted: Accepted, startedAt: number) {
    const spoken = new SpokenText()
    const { answer: answered, answeredAt } = yield* ask(id, accepted, spoken)
    if (Option.isNone(answered)) return cancelledReport(spoken.text, answeredAt - startedAt)
    const answer = answered.value
    const result = yield* resultFor(answer, accepted.request)
    return reportOf(answer, result, answeredAt - startedAt)
  }) satisfies (...run: [RunId, Accepted, number]) => Effect.Effect<RunReport, RunFailure>
})
