import { type Event, isGap } from "../../domain/Event.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import { type Frame, gapFrame } from "../sse/EventStream.ts"
import { toSeconds } from "../groups/Wire.ts"

/** An event as clients see it. */
export const eventAnswer = (event: Event) => ({
  seq: event.seq,
  type: event.type,
  at: toSeconds(event.at),
  run_id: event.runId,
  session_id: event.sessionId,
  token: event.token,
  data: event.data,
})

/** The frames that were made. A frame is made once for all followers of the log. */
const frames = new WeakMap<Event, Frame>()

/** Returns the frame of an event or a gap. */
export const eventFrame = (item: Event | StreamGap): Frame => {
  if (isGap(item)) return gapFrame(item)
  const known = frames.get(item)
  if (known !== undefined) return known
  const frame = { seq: item.seq, event: item.type, data: JSON.stringify(eventAnswer(item)) }
  frames.set(item, frame)
  return frame
}
