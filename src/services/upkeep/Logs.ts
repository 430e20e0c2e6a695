import { Context, Effect, Option } from "effect"

/** What is known of the service's log. */
export interface LogState {
  /** Why its newest line could not be written, such as `ENOSPC`. None if it was written. */
  readonly failure: Option.Option<string>
  /** How many lines are lost since the log could last be written. */
  readonly lostLines: number
}

/** Port: the state of the log. None by default, and for an embedder's own log: nobody watches it. */
export class Logs extends Context.Reference<Logs>()("clawdforge/Logs", {
  defaultValue: () => ({ state: Effect.succeedNone as Effect.Effect<Option.Option<LogState>> }),
}) {}
