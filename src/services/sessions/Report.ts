import type { Effect } from "effect"
import type { TurnFailure } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import type { TurnReport } from "../runs/Report.ts"

/** An accepted turn. It goes on to its recorded outcome, whether or not anybody waits for it. */
export interface OpenTurn {
  readonly id: RunId
  /** Counts the session's turns, from 1. */
  readonly index: number
  /** Waits for the outcome, which is recorded by then. A cancelled turn is a report, not a failure. */
  readonly answer: Effect.Effect<TurnReport, TurnFailure>
  /** Cancels it and waits for its outcome. */
  readonly cancel: Effect.Effect<void>
}
