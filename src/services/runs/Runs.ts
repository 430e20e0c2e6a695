import { Clock, Context, Duration, Effect, Layer, Option } from "effect"
import {
  type AnswerGone,
  type FileNotFound,
  type InvalidRequest,
  limitLeft,
  type NotLoggedIn,
  type Overloaded,
  type RateLimited,
  type RunFailure,
  RunNotFound,
  type ShuttingDown,
  type StorageFailed,
  type Unauthorized,
} from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import { decodeOutcome, type OutcomeFailure, type Report } from "../../domain/Outcome.ts"
import type { RunFilter, RunRecord, RunRequest } from "../../domain/Run.ts"
import { maySee, type Viewer } from "../../domain/Viewer.ts"
import { Ids } from "../access/Ids.ts"
import type { AcpMessage } from "../agents/AcpxClient.ts"
import { Files } from "../files/Files.ts"
import { Journal } from "../journal/Journal.ts"
import { Ledger } from "../journal/Ledger.ts"
import { readRunMessages } from "../journal/RunMessages.ts"
import { LoginMonitor } from "../upkeep/LoginMonitor.ts"
import { makeOneShotExecutor } from "./executors/OneShotExecutor.ts"
import { makeFairQueue } from "./FairQueue.ts"
import { OutputSchemas } from "./OutputSchemas.ts"
import type { RunReport } from "./Report.ts"
import { RunEngine } from "./RunEngine.ts"

/** An accepted one-shot. It goes on to its recorded outcome, whether or not anybody waits for it. */
export interface OpenRun {
  readonly id: RunId
  /** Waits for the outcome, which is recorded by then. A cancelled run is a report, not a failure. */
  readonly answer: Effect.Effect<RunReport, RunFailure>
  /** Cancels it and waits for its outcome. Then its processes and its directory are gone. */
  readonly cancel: Effect.Effect<void>
}

/** Output schemas that are checked at the same time; each may take two seconds of a core. */
const SCHEMA_CHECKS = 2

/** Limits of runs. An option that is not set has the contract's default. */
export interface RunsOptions {
  /** Runs that work at the same time. */
  readonly maxConcurrentRuns: number
  /** Runs that wait for a slot, of all apps together; 256 by default. */
  readonly maxQueuedRuns?: number
  /** How long a run may wait for a slot, in seconds; 30 by default. */
  readonly maxQueueWaitSecs?: number
}

/**
 * The one door to runs: it opens one-shots, and reads, cancels and answers runs of every kind. A viewer sees its own runs
 * only; any other is `RunNotFound`, as if it did not exist.
 */
export class Runs extends Context.Tag("clawdforge/Runs")<
  Runs,
  {
    /**
     * Accepts a one-shot. From here on it has an id, a row and an outcome, whatever happens to the caller. Fails with
     * `InvalidRequest` for an output schema that is none, with `FileNotFound` for a file that is not the owner's, and as
     * `LoginMonitor.admit` does.
     */
    readonly open: (
      request: RunRequest,
      owner: TokenId,
      origin: Origin,
    ) => Effect.Effect<
      OpenRun,
      | InvalidRequest
      | FileNotFound
      | NotLoggedIn
      | RateLimited
      | Overloaded
      | ShuttingDown
      | Unauthorized
      | StorageFailed
    >
    /** Returns a run. */
    readonly get: (run: RunId, viewer: Viewer) => Effect.Effect<RunRecord, RunNotFound | StorageFailed>
    /** Returns the run that is a session's turn of that index. A deleted session has no turns any longer. */
    readonly getTurn: (
      session: SessionId,
      index: number,
      viewer: Viewer,
    ) => Effect.Effect<RunRecord, RunNotFound | StorageFailed>
    /** Returns at most `limit` runs that match, newest first. The next page is before the last run of this one. */
    readonly page: (
      filter: RunFilter,
      limit: number,
      before?: RunId,
    ) => Effect.Effect<ReadonlyArray<RunRecord>, StorageFailed>
    /** Cancels a run and waits for its outcome. Returns false if it had ended. */
    readonly cancel: (run: RunId, viewer: Viewer) => Effect.Effect<boolean, RunNotFound | StorageFailed>
    /** Waits for a run's outcome, also of a run that ended long ago. Fails with `AnswerGone` if its text is gone. */
    readonly outcome: (run: RunId) => Effect.Effect<Report, OutcomeFailure | AnswerGone | StorageFailed>
    /** Returns all messages of a run so far. Fails with `AnswerGone` if some are gone. */
    readonly messages: (
      run: RunId,
    ) => Effect.Effect<ReadonlyArray<AcpMessage>, AnswerGone | Overloaded | StorageFailed>
  }
>() {
  static readonly layer = (options: RunsOptions) =>
    Layer.scoped(
      Runs,
      Effect.gen(function* () {
        const files = yield* Files
        const { runs, sessions } = yield* Ledger
        const ids = yield* Ids
        const engine = yield* RunEngine
        const logins = yield* LoginMonitor
        const journal = yield* Journal
        const schemas = yield* OutputSchemas
        const waiting = {
          maxWaiting: options.maxQueuedRuns ?? 256,
          maxWait: Duration.seconds(options.maxQueueWaitSecs ?? 30),
        }
        const schemaChecks = yield* makeFairQueue<TokenId>({ slots: SCHEMA_CHECKS, ...waiting })
        yield* engine.register(yield* makeOneShotExecutor({ slots: options.maxConcurrentRuns, ...waiting }))

        /** Checks the request's output schema. Returns whether the CLI itself can enforce it. */
        const checkSchema = ({ outputSchema }: RunRequest, owner: TokenId) =>
          outputSchema === undefined
            ? Effect.succeed(false)
            : Effect.acquireUseRelease(
                schemaChecks.enter(owner),
                (place) => Effect.zipRight(place.slot, schemas.check(outputSchema)),
                (place) => place.leave,
              ).pipe(Effect.map(({ native }) => native))

        const open = Effect.fn("Runs.open")(function* (request: RunRequest, owner: TokenId, origin: Origin) {
          const { prompt, system, model, systemMode, effort, timeoutSecs, outputSchema } = request
          yield* engine.accepting
          yield* Effect.interruptible(logins.admit(model))
          const attached = yield* Effect.interruptible(files.find(request.files, owner))
          const isSchemaNative = yield* Effect.interruptible(checkSchema(request, owner))
          const { id, answer, cancel } = yield* engine.accept<"run">({
            kind: "run",
            id: yield* ids.run,
            owner,
            origin,
            input: { prompt, system, files: attached },
            timeoutSecs,
            model,
            systemMode,
            effort,
            outputSchema,
            isSchemaNative,
          })
          return { id, answer, cancel }
        })

        const get = Effect.fn("Runs.get")(function* (run: RunId, viewer: Viewer) {
          return yield* seenBy(viewer, yield* runs.find(run))
        })

        return {
          open,
          get,
          getTurn: Effect.fn("Runs.getTurn")(function* (session, index, viewer) {
            if (Option.isNone(yield* sessions.find(session))) return yield* new RunNotFound()
            return yield* seenBy(viewer, yield* runs.findTurn(session, index))
          }),
          page: runs.page,
          cancel: (run, viewer) => Effect.zipRight(get(run, viewer), engine.cancel(run)),
          outcome: (run) =>
            Effect.flatMap(journal.outcome(run), decodeOutcome).pipe(
              Effect.catchTag("RateLimited", (failure) =>
                Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(limitLeft(failure, now))),
              ),
            ),
          messages: (run) =>
            readRunMessages(journal, run) as Effect.Effect<
              ReadonlyArray<AcpMessage>,
              AnswerGone | Overloaded | StorageFailed
            >,
        }
      }),
    )
}

/** Returns the run if the viewer may see it. A run that it may not see is not found. */
const seenBy = (viewer: Viewer, found: Option.Option<RunRecord>) =>
  Option.filter(found, ({ tokenId }) => maySee(viewer, tokenId)).pipe(
    Effect.mapError(() => new RunNotFound()),
  )
