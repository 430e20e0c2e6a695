import { Cause, Effect, Either } from "effect"
import type { AgentRefusal, StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { errorCodeOf } from "./ErrorCode.ts"

/** The results of a sweep. */
export interface SweepCounts {
  /** Idle sessions that were closed. */
  readonly closed: number
  /** Closed sessions that were deleted. */
  readonly deleted: number
  /** Expired uploads that were removed. */
  readonly files: number
  /** Directories of sessions that are not open and of runs that have ended, which were removed. */
  readonly directories: number
  /** Rows that were removed because their retention was over: texts, streams, events, idempotency keys. */
  readonly trimmed: number
  /** Steps that failed. A later sweep tries them again. */
  readonly failed: number
}

/** Why a step failed. A string when the sweeper itself gave up. */
export type StepFailure = StorageFailed | AgentRefusal | string

const NOT_DONE = {
  closed: "idle sessions are not closed yet",
  deleted: "closed sessions are not deleted yet",
  files: "expired files are not removed yet",
  directories: "orphaned directories are not removed yet",
  trimmed: "what is kept no longer is not removed yet",
}

/** Counts the results of a sweep's steps, and logs their failures. */
export class SweepCounter {
  readonly #counts = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0 }

  get counts(): SweepCounts {
    return { ...this.#counts }
  }

  /** Runs a step and adds its result to the count. A failure or a defect is counted and logged; it does not propagate. */
  readonly attempt = (
    kind: keyof typeof NOT_DONE,
    act: Effect.Effect<number | boolean | void, StepFailure>,
    session?: SessionId,
  ): Effect.Effect<void> =>
    act.pipe(
      Effect.map((result) => void (this.#counts[kind] += Number(result ?? 0))),
      Effect.catchAllCause((cause) => {
        this.#counts.failed += 1
        return Either.match(Cause.failureOrCause(cause), {
          onLeft: (failure) =>
            Effect.annotateLogs(Effect.logWarning(NOT_DONE[kind]), "why", describe(failure)),
          onRight: (defect) => Effect.logError(NOT_DONE[kind], defect),
        })
      }),
      Effect.annotateLogs(session === undefined ? {} : { session_id: session }),
    )
}

/** A failure for the log. Of an error of the system only the code is logged, because its message may have paths. */
const describe = (failure: StepFailure): string => {
  if (typeof failure === "string") return failure
  switch (failure._tag) {
    case "StorageFailed":
      return `${failure.during}: ${errorCodeOf(failure.cause)}`
    case "AgentUnavailable":
      return failure.reason
    default:
      return failure.code
  }
}
