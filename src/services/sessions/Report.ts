import type { Effect } from "effect"
import type { TurnFailure } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import type { KeptReport } from "../../domain/Outcome.ts"
import type { AcpMessage } from "../agents/AcpxClient.ts"

/** What a turn came to. */
export interface TurnReport extends KeptReport {
  /** The agent's messages of this turn, in order; the last is the result. Empty when it was cancelled before its start. */
  readonly events: ReadonlyArray<AcpMessage>
}

/** An accepted turn. It goes on by itself, whoever waits for it, until its recorded outcome. */
export interface OpenTurn {
  readonly id: RunId
  /** Counts the session's turns, from 1. */
  readonly index: number
  /** Waits for the outcome, which is recorded by then. A cancelled turn is a report, not a failure. */
  readonly answer: Effect.Effect<TurnReport, TurnFailure>
  /** Cancels it, and waits for its outcome. */
  readonly cancel: Effect.Effect<void>
}
