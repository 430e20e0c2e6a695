import type { SessionId } from "../../domain/Ids.ts"
import type { SessionItem, SessionMessage } from "../../domain/SessionStream.ts"
import { toSeconds } from "../groups/Wire.ts"
import { type Frame, gapFrame } from "../sse/EventStream.ts"
import { eventFrame } from "./LogEvents.ts"

/** The frame of a message: an object with the keys of an event, and the agent's message as it was sent. */
const messageFrame = (session: SessionId, { seq, at, token, body }: SessionMessage): Frame => {
  const event = {
    seq,
    type: "session.message",
    at: toSeconds(at),
    run_id: null,
    session_id: session,
    token,
  }
  // The message is JSON already.
  return { seq, event: event.type, data: `${JSON.stringify(event).slice(0, -1)},"data":{"message":${body}}}` }
}

/** Makes the frame of an item of a session's stream. */
export const sessionFrame = (session: SessionId, item: SessionItem): Frame => {
  if ("type" in item) return eventFrame(item)
  return item.kind === "resync" ? gapFrame(item) : messageFrame(session, item)
}
