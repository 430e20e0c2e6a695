import type { Effect, Scope } from "effect"
import type {
  FileNotFound,
  Overloaded,
  RunFailure,
  SessionBusy,
  StorageFailed,
  TurnFailure,
} from "../../../domain/Failure.ts"
import type { OneShotSpec, TurnSpec } from "../../../domain/Run.ts"
import type { AcceptedRun } from "../../journal/Ledger.ts"
import type { Place } from "../FairQueue.ts"
import type { PartialTurnReport, RunReport } from "../Report.ts"

/**
 * What each kind of run consists of. An embedder adds a kind of its own by declaration merging, and an executor for it by
 * `RunEngine.register`. The spec of such a kind has the fields of a one-shot, and perhaps more; the ledger records the run
 * as a one-shot.
 */
export interface RunKinds {
  readonly run: {
    readonly spec: OneShotSpec
    readonly report: RunReport
    readonly failure: RunFailure
    readonly refusal: FileNotFound | Overloaded | StorageFailed
  }
  readonly turn: {
    readonly spec: TurnSpec
    readonly report: PartialTurnReport
    readonly failure: TurnFailure
    readonly refusal: FileNotFound | SessionBusy | StorageFailed
  }
}

export type Kind = keyof RunKinds
export type SpecOf<K extends Kind> = RunKinds[K]["spec"]
export type ReportOf<K extends Kind> = RunKinds[K]["report"]
export type FailureOf<K extends Kind> = RunKinds[K]["failure"]
export type RefusalOf<K extends Kind> = RunKinds[K]["refusal"]

/** What is particular to a kind of run. All else of a run's life is the engine's. */
export interface Executor<K extends Kind> {
  readonly kind: K
  /**
   * Takes what the run needs before it can be accepted, such as its files. Everything is given back when the scope
   * closes, at the run's end. Can be interrupted.
   */
  readonly prepare: (spec: SpecOf<K>) => Effect.Effect<QueueEntrance<K>, RefusalOf<K>, Scope.Scope>
  /**
   * Does the work, within `timeoutSecs`. When it returns, fails or is interrupted, nothing of the work is left: no
   * process, no directory. Ends a cancelled run with a report that says so.
   */
  readonly execute: (run: StartedRun<K>) => Effect.Effect<ReportOf<K>, FailureOf<K>>
  /** The report of a run that is cancelled before it starts. */
  readonly unstarted: ReportOf<K>
}

/** Where a prepared run gets its place. */
export interface QueueEntrance<K extends Kind> {
  /** Takes a place in the queue, or fails at once. The place is given up when the scope closes. */
  readonly enter: Effect.Effect<Place, RefusalOf<K>, Scope.Scope>
  /** Runs `accept`, which takes the place and records the run, in the order that the kind prescribes. */
  readonly inOrder: <A, E, R>(accept: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A run in its slot. */
export interface StartedRun<K extends Kind> {
  readonly spec: SpecOf<K>
  /** For a turn, its index and its session as it was when the turn was accepted. */
  readonly turn: AcceptedRun["turn"]
  /** The time since it got its slot, in milliseconds. A change of the machine's date does not count. */
  readonly elapsedMillis: Effect.Effect<number>
  /**
   * Says whether the work has begun, so that it may have cost or changed something. It counts as begun when the executor is
   * called, until this says otherwise. The outcome of work that has begun is stored for the run's idempotency key. A failure
   * of work that has not, such as a process that could not start or a provider that refused, leaves the key unused.
   */
  readonly setBegun: (hasBegun: boolean) => Effect.Effect<void>
  /**
   * Takes memory for the answer until the run's outcome is recorded, as far as it has not taken as much before. Fails at
   * once if there is not enough left.
   */
  readonly holdAnswer: (bytes: number) => Effect.Effect<void, Overloaded>
  /** Whether it waited for its slot: what was read when it was accepted may have changed. */
  readonly hasWaited: boolean
  /** Waits until the run is to end as cancelled. */
  readonly cancelled: Effect.Effect<void>
  /** Whether the run is to end as cancelled. */
  readonly isCancelled: Effect.Effect<boolean>
}
