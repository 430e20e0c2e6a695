import { Clock, Context, Deferred, Duration, Effect, Layer } from "effect"
import type {
  FileNotFound,
  InvalidRequest,
  Overloaded,
  RunFailure,
  ShuttingDown,
  StorageFailed,
  Unauthorized,
} from "../../domain/Failure.ts"
import type { RunId, TokenId } from "../../domain/Ids.ts"
import type { Claim, RunRequest } from "../../domain/Run.ts"
import type { Origin } from "../../domain/Token.ts"
import { Files } from "../files/Files.ts"
import { Ids } from "../access/Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { LiveRuns } from "./RunEngine.ts"
import { OutputSchemas } from "./OutputSchemas.ts"
import { accepting } from "./Accepting.ts"
import { makeFairQueue } from "./FairQueue.ts"
import { cancelledReport, type RunReport } from "./Report.ts"
import { makeWork } from "./executors/OneShot.ts"

/**
 * An accepted run. It goes on by itself, whoever waits for it: waits for a slot, works, records its outcome, once, on
 * every way out.
 */
export interface OpenRun {
  readonly id: RunId
  /** Waits for the outcome, which is recorded by then. A cancelled run is a report, not a failure. */
  readonly answer: Effect.Effect<RunReport, RunFailure>
  /** Cancels it, and waits for its outcome; then its processes and its directory are gone. */
  readonly cancel: Effect.Effect<void>
}

const PLACE_CHARS = 512 * 1024
/** Schemas that are checked at once; each may take two seconds of a core. */
const CHECKS = 2

/** Limits of runs: unset, the contract's defaults. */
export interface RunsOptions {
  /** Runs at work at once. */
  readonly maxConcurrentRuns: number
  /** Runs that wait for a slot, of all apps together. */
  readonly maxQueuedRuns?: number
  /** How long a run may wait for a slot. */
  readonly maxQueueWaitSecs?: number
}

/** One-shot prompts, from acceptance to the recorded outcome. */
export class Runs extends Context.Tag("clawdforge/Runs")<
  Runs,
  {
    /**
     * Accepts a prompt: from here on it has an id, a row, and an outcome, whatever happens to the caller. A claim is
     * recorded with it.
     */
    readonly open: (
      request: RunRequest,
      owner: TokenId,
      origin: Origin,
      claim?: Claim,
    ) => Effect.Effect<
      OpenRun,
      InvalidRequest | FileNotFound | Overloaded | ShuttingDown | Unauthorized | StorageFailed
    >
  }
>() {
  static readonly layer = (options: RunsOptions) =>
    Layer.effect(
      Runs,
      Effect.gen(function* () {
        const files = yield* Files
        const ledger = (yield* Ledger).runs
        const ids = yield* Ids
        const live = yield* LiveRuns
        const schemas = yield* OutputSchemas
        const work = yield* makeWork
        const waiting = {
          maxWaiting: options.maxQueuedRuns ?? 256,
          maxWait: Duration.seconds(options.maxQueueWaitSecs ?? 30),
        }
        const queue = yield* makeFairQueue<TokenId>({ slots: options.maxConcurrentRuns, ...waiting })
        const checks = yield* makeFairQueue<TokenId>({ slots: CHECKS, ...waiting })

        /** Whether the CLI itself can enforce the schema. */
        const checked = ({ outputSchema }: RunRequest, owner: TokenId) =>
          outputSchema === undefined
            ? Effect.succeed(false)
            : Effect.acquireUseRelease(
                checks.enter(owner),
                (place) => Effect.zipRight(place.slot, schemas.check(outputSchema)),
                (place) => place.leave,
              ).pipe(Effect.map(({ native }) => native))

        /** What a run needs before it can be accepted. */
        const prepared = Effect.fn("Runs.prepare")(function* (request: RunRequest, owner: TokenId) {
          yield* live.accepting
          const held = yield* files.hold(request.files, owner)
          const native = yield* checked(request, owner)
          const place = yield* Effect.acquireRelease(
            queue.enter(owner, placesOf(request)),
            ({ leave }) => leave,
          )
          return { files: held, native, place }
        })

        const open = Effect.fn("Runs.open")(function* (
          request: RunRequest,
          owner: TokenId,
          origin: Origin,
          claim?: Claim,
        ) {
          const id = yield* ids.run
          const cancelled = yield* Deferred.make<void>()
          const { model, prompt } = request
          return yield* accepting(prepared(request, owner), ({ files, native, place }, leave) =>
            Effect.gen(function* () {
              const at = yield* Clock.currentTimeMillis
              const promptChars = prompt.length
              const { answer, cancel } = yield* live.begin<
                RunReport,
                RunFailure,
                void,
                Unauthorized | StorageFailed
              >({
                id,
                owner,
                record: ledger.open({ id, tokenId: owner, model, promptChars, origin, at, claim }),
                slot: place.slot,
                cancelled,
                work: (startedAt) => work(id, { request, native, files, cancelled }, startedAt),
                unstarted: cancelledReport("", 0),
                leave,
              })
              return { id, answer, cancel }
            }),
          )
        })

        return { open }
      }),
    )
}

/** What waits is kept in memory: a prompt takes a place in the queue for each 512 Ki of characters that it begins. */
const placesOf = ({ prompt, system = "" }: RunRequest): number =>
  Math.max(1, Math.ceil((prompt.length + system.length) / PLACE_CHARS))
