import { Effect } from "effect"
import { addAcpMessage, addClaudeMessage, NO_TEXT, UNKNOWN_TEXT } from "../../domain/AnswerText.ts"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import { isRefusalText } from "../../services/agents/ProviderFailures.ts"
import { forEachRunEvent } from "../../services/journal/RunMessages.ts"
import type { Frame, Position } from "../sse/EventStream.ts"

/** The frames of a run's stream with the answer's text in pieces: after the frame of a message, a `delta` for each piece. */

type Run = Pick<RunRecord, "id" | "sessionId">

/** Makes the frames of an event. */
export type FramesOf = (event: StreamEvent | StreamGap) => ReadonlyArray<Frame>

/**
 * Adds its deltas to the frames of a message. They depend on the messages before, so the function must be given all events
 * of the stream, in order. When a turn fails and its agent has said nothing but a refusal's words, a reset comes before
 * the error, unless the reader has it: `after` is the reader's position.
 */
export const withDeltas = (run: Run, framesOf: FramesOf, after: Position): FramesOf => {
  const add = run.sessionId === null ? addClaudeMessage : addAcpMessage
  let written = NO_TEXT
  let pieces = 0
  /** The place after the last delta. */
  let next = { seq: 0, part: 1 }
  return (event) => {
    const frames = framesOf(event)
    if (
      event.kind === "error" &&
      run.sessionId !== null &&
      pieces === 1 &&
      isRefusalText(written.text ?? "")
    ) {
      const isKnown = next.seq === after.seq && next.part <= (after.part ?? 0)
      // Its id is before that of the error, which ends the stream.
      return isKnown ? frames : [deltaFrame(next.seq, next.part, { reset: true }), ...frames]
    }
    if (event.kind === "resync") written = UNKNOWN_TEXT
    const [now, deltas] = event.kind === "message" ? add(written, JSON.parse(event.body)) : [written, []]
    written = now
    pieces += deltas.length
    next = { seq: event.seq, part: deltas.length + 1 }
    return [...frames, ...deltas.map((delta, n) => deltaFrame(event.seq, n + 1, delta))]
  }
}

const deltaFrame = (seq: number, part: number, delta: object): Frame => ({
  seq,
  part,
  event: "delta",
  data: JSON.stringify(delta),
})

/**
 * Gives `framesOf` the events up to a position, from the stream's beginning. Returns the frames that are made from the
 * position's own event and come after the position.
 */
export const framesAfter = (
  journal: typeof Journal.Service,
  run: Run,
  { seq, part = 0 }: Position,
  framesOf: FramesOf,
): Effect.Effect<ReadonlyArray<Frame>, StorageFailed> =>
  Effect.gen(function* () {
    if (seq === 0) return []
    let rest: ReadonlyArray<Frame> = []
    yield* forEachRunEvent(journal, run.id, (event) => {
      if (event.seq > seq) return false
      const frames = framesOf(event)
      if (event.seq === seq) rest = frames.filter((frame) => (frame.part ?? 0) > part)
      return event.seq < seq
    })
    return rest
  })
