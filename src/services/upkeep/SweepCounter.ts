import { Cause, Effect, Either } from "effect"
import type { AgentRefusal, StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"

/** What a sweep did, in numbers. */
export interface SweepCounts {
  /** Sessions that were idle. */
  readonly closed: number
  /** Sessions that had been closed for long. */
  readonly deleted: number
  /** Uploads whose time was over. */
  readonly files: number
  /** Directories of sessions that are not open. */
  readonly directories: number
  /** Rows that are kept no longer: of texts, streams, events, idempotency keys. */
  readonly trimmed: number
  /** What could not be done, and is tried again. */
  readonly failed: number
}

/** Why something could not be done; in words, where it is the sweeper itself that gave up. */
export type StepFailure = StorageFailed | AgentRefusal | string

const NOT_DONE = {
  closed: "idle sessions are not closed yet",
  deleted: "closed sessions are not deleted yet",
  files: "expired files are not removed yet",
  directories: "orphaned directories are not removed yet",
  trimmed: "what is kept no longer is not removed yet",
}

/** Counts what comes of a sweep. */
export class SweepCounter {
  readonly #counts = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0 }

  get counts(): SweepCounts {
    return { ...this.#counts }
  }

  /** Adds what was done of that kind; what fails, even by a defect, is counted and logged instead. */
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
            Effect.annotateLogs(Effect.logWarning(NOT_DONE[kind]), "why", inWords(failure)),
          onRight: (defect) => Effect.logError(NOT_DONE[kind], defect),
        })
      }),
      Effect.annotateLogs(session === undefined ? {} : { session_id: session }),
    )
}

/** A failure in a few words. Of what the machine says only the code: the rest may name paths. */
const inWords = (failure: StepFailure): string => {
  if (typeof failure === "string") return failure
  switch (failure._tag) {
    case "StorageFailed":
      return `${failure.during}: ${codeOf(failure.cause)}`
    case "AgentUnavailable":
      return failure.reason
    default:
      return failure.code
  }
}

const codeOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return "unknown"
  if ("code" in error && typeof error.code === "string") return error.code
  return "cause" in error ? codeOf(error.cause) : "unknown"
}
