import { Cause, Either, Exit, Option, Schema } from "effect"
import {
  AgentUnavailable,
  AnswerMismatch,
  BillingRefused,
  ExecutableMissing,
  FileNotFound,
  ModelNotFound,
  NotLoggedIn,
  OutputGarbled,
  Overloaded,
  ProcessFailed,
  ProcessKilled,
  PromptTooLong,
  ProviderOverloaded,
  ProviderRefused,
  RateLimited,
  RunDefect,
  RunLost,
  RunTimedOut,
  ShuttingDown,
  StorageFailed,
  TurnFailed,
  Unauthorized,
} from "./Failure.ts"
import { Usage } from "./Run.ts"
import type { StreamEnd } from "./Stream.ts"

/** A run's outcome as it is stored: its report, or the one failure that explains why there is no answer. */

/** What a run reported. `result` and `sessionId` are absent for a turn: its answer is in its messages. */
export const Report = Schema.Struct({
  result: Schema.optional(Schema.Unknown),
  /** From the run's start to its answer; the time in the queue is not counted. */
  durationMs: Schema.Number,
  stopReason: Schema.String,
  responseChars: Schema.Number,
  usage: Schema.NullOr(Usage),
  costUsd: Schema.NullOr(Schema.Number),
  model: Schema.optional(Schema.NullOr(Schema.String)),
  /** Of a turn: what its session cost so far, as its agent last said. */
  agentCostUsd: Schema.optional(Schema.NullOr(Schema.Number)),
  sessionId: Schema.optional(Schema.NullOr(Schema.String)),
})
export type Report = typeof Report.Type

/** A failure that can be stored. Anything else is stored as `RunDefect`: its cause belongs in the log. */
export const OutcomeFailure = Schema.Union(
  AgentUnavailable,
  AnswerMismatch,
  BillingRefused,
  ExecutableMissing,
  FileNotFound,
  ModelNotFound,
  NotLoggedIn,
  OutputGarbled,
  Overloaded,
  ProcessFailed,
  ProcessKilled,
  PromptTooLong,
  ProviderOverloaded,
  ProviderRefused,
  RateLimited,
  RunDefect,
  RunLost,
  RunTimedOut,
  ShuttingDown,
  StorageFailed,
  TurnFailed,
  Unauthorized,
)
export type OutcomeFailure = typeof OutcomeFailure.Type

const encodeReport = Schema.encodeSync(Schema.parseJson(Report))
const encodeFailure = Schema.encodeSync(Schema.parseJson(OutcomeFailure))
const decodeReport = Schema.decodeUnknownOption(Schema.parseJson(Report))
const decodeFailure = Schema.decodeUnknownOption(Schema.parseJson(OutcomeFailure))

/** Encodes an outcome as the end of a run's stream. Throws for a report that cannot be written as JSON. */
export const encodeOutcome = (outcome: Exit.Exit<Report, unknown>): StreamEnd =>
  Exit.match(outcome, {
    onSuccess: (report) => ({ kind: "result" as const, body: encodeReport(report) }),
    onFailure: (cause) => ({
      kind: "error" as const,
      body: encodeFailure(storableFailure(Cause.failureOption(cause))),
    }),
  })

const storableFailure = (failure: Option.Option<unknown>): OutcomeFailure => {
  const known = Option.getOrElse(Option.filter(failure, Schema.is(OutcomeFailure)), () => new RunDefect())
  // The cause may quote the machine: it is for the log only.
  return known._tag === "StorageFailed" ? new StorageFailed({ during: known.during, cause: null }) : known
}

/** Decodes the end of a run's stream. A body that cannot be decoded is a `RunDefect`. */
export const decodeOutcome = ({ kind, body }: StreamEnd): Either.Either<Report, OutcomeFailure> =>
  kind === "result"
    ? Either.fromOption(decodeReport(body), () => new RunDefect())
    : Either.left(Option.getOrElse(decodeFailure(body), () => new RunDefect()))
