/** What a run's stream consists of: its beginning, what the agent sends, and its one end. */
export type StreamKind = "run" | "message" | "result" | "error"

/** An event of a run's stream, as it is kept. */
export interface StreamEvent {
  /** Its place in the one sequence of everything that happens. */
  readonly seq: number
  readonly kind: StreamKind
  /** JSON without a line break: of a `result` or an `error`, see `Outcome.ts`. */
  readonly body: string
}

/** What a run ended with, as its stream has it. */
export interface StreamEnd {
  readonly kind: "result" | "error"
  /** JSON, see `Outcome.ts`. */
  readonly body: string
}

/** Some of a stream was there and is no more; `oldest` is what is next of what somebody wants, if anything is left. */
export interface StreamGap {
  readonly kind: "resync"
  /** The last of those that are gone. */
  readonly seq: number
  readonly oldest: number | null
}
