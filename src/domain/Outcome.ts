import { Cause, Either, Exit, Option, Schema } from "effect"
import {
  AgentUnavailable,
  AnswerMismatch,
  ExecutableMissing,
  FileNotFound,
  NotLoggedIn,
  OutputGarbled,
  Overloaded,
  ProcessFailed,
  ProcessKilled,
  ProviderRefused,
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

/** What a run came to, as it is kept: what it reported, or the one failure that explains why there is no answer. */

const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.NullOr(schema)

/** Of a turn, `result`, `model` and `sessionId` are absent: its answer is in its messages. */
export const KeptReport = Schema.Struct({
  result: Schema.optional(Schema.Unknown),
  /** From its start to its answer; the time in the queue is not counted. */
  durationMs: Schema.Number,
  stopReason: Schema.String,
  responseChars: Schema.Number,
  usage: maybe(Usage),
  costUsd: maybe(Schema.Number),
  model: Schema.optional(maybe(Schema.String)),
  sessionId: Schema.optional(maybe(Schema.String)),
})
export type KeptReport = typeof KeptReport.Type

/** A failure that can be kept. What else goes wrong is `RunDefect`: the cause is for the log, not for the ledger. */
const KeptFailure = Schema.Union(
  AgentUnavailable,
  AnswerMismatch,
  ExecutableMissing,
  FileNotFound,
  NotLoggedIn,
  OutputGarbled,
  Overloaded,
  ProcessFailed,
  ProcessKilled,
  ProviderRefused,
  RunDefect,
  RunLost,
  RunTimedOut,
  ShuttingDown,
  StorageFailed,
  TurnFailed,
  Unauthorized,
)
export type KeptFailure = typeof KeptFailure.Type

const encodeReport = Schema.encodeSync(Schema.parseJson(KeptReport))
const encodeFailure = Schema.encodeSync(Schema.parseJson(KeptFailure))
const decodeReport = Schema.decodeUnknownOption(Schema.parseJson(KeptReport))
const decodeFailure = Schema.decodeUnknownOption(Schema.parseJson(KeptFailure))

/** How a run ended, as its stream will have it. */
export const streamEndOf = (outcome: Exit.Exit<KeptReport, unknown>): StreamEnd =>
  Exit.match(outcome, {
    onSuccess: (report) => ({ kind: "result" as const, body: encodeReport(report) }),
    onFailure: (cause) => ({
      kind: "error" as const,
      body: encodeFailure(keepable(Cause.failureOption(cause))),
    }),
  })

/** What the machine said is for the log. */
const keepable = (failure: Option.Option<unknown>): KeptFailure => {
  const known = Option.getOrElse(Option.filter(failure, Schema.is(KeptFailure)), () => new RunDefect())
  return known._tag === "StorageFailed" ? new StorageFailed({ during: known.during, cause: null }) : known
}

/** The end of a stream, read again. */
export const outcomeOf = ({ kind, body }: StreamEnd): Either.Either<KeptReport, KeptFailure> =>
  kind === "result"
    ? Either.fromOption(decodeReport(body), () => new RunDefect())
    : Either.left(Option.getOrElse(decodeFailure(body), () => new RunDefect()))
