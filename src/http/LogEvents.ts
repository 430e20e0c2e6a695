import { isGap, type LogEvent, type LogGap } from "../domain/Event.ts"
import type { Frame } from "./EventStream.ts"
import { toSeconds } from "./groups/Wire.ts"

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

export const frameOf = (item: LogEvent | LogGap): Frame => {
  if (isGap(item)) {
    const oldest = item.oldest === null ? null : String(item.oldest)
    return { seq: item.seq, event: "resync", data: JSON.stringify({ oldest_id: oldest }) }
  }
  const known = frames.get(item)
  if (known !== undefined) return known
  const frame = { seq: item.seq, event: item.type, data: JSON.stringify(toWire(item)) }
  frames.set(item, frame)
  return frame
}
