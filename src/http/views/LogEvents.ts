import { isGap, type LogEvent } from "../../domain/Event.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import { type Frame, gapFrame } from "../sse/EventStream.ts"
import { toSeconds } from "../groups/Wire.ts"

/** An event as it is shown. */
export const toWire = (event: LogEvent) => ({
  seq: event.seq,
  type: event.type,
  at: toSeconds(event.at),
  run_id: event.runId,
  session_id: event.sessionId,
  token: event.token,
  data: event.data,
})

/** Each is put into words once, for however many follow. */
const frames = new WeakMap<LogEvent, Frame>()

export const frameOf = (item: LogEvent | StreamGap): Frame => {
  if (isGap(item)) return gapFrame(item)
  const known = frames.get(item)
  if (known !== undefined) return known
  const frame = { seq: item.seq, event: item.type, data: JSON.stringify(toWire(item)) }
  frames.set(item, frame)
  return frame
}
