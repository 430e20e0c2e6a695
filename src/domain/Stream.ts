/** The kinds of a run's stream events: its beginning, what the agent sends, and its one end. */
export type StreamKind = "run" | "message" | "result" | "error"

/** An event of a run's stream, as it is stored. */
export interface StreamEvent {
  /** Its number in the one sequence of all events, of the log and of all streams. */
  readonly seq: number
  readonly kind: StreamKind
  /** JSON without a line break. The shape of a `result` and of an `error` is in `domain/Outcome.ts`. */
  readonly body: string
}

/** How a run ended, as its stream has it. */
export interface StreamEnd {
  readonly kind: "result" | "error"
  /** JSON, see `domain/Outcome.ts`. */
  readonly body: string
}

/** A part of a stream that retention removed. */
export interface StreamGap {
  readonly kind: "resync"
  /** The sequence number of the last event that is gone. */
  readonly seq: number
  /** The sequence number of the next event that is left; `null` if there is none. */
  readonly oldest: number | null
}

/** Whether an event is the last of its run's stream. */
export const isEnd = <A extends { readonly kind: StreamKind | "resync" }>(
  event: A,
): event is A & { readonly kind: "result" | "error" } => event.kind === "result" || event.kind === "error"
