import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** In what time the headers of a request must be there. */
export const HEADERS_MILLIS = 10_000
/** How long a client may go on sending a body that nobody reads any more. */
const UNREAD_MILLIS = 60_000

/**
 * Timers come before what has arrived is read: when the process was busy for long, a client's time may be over while all
 * that it said in time still waits. Does it once that is read.
 */
export const onceRead = (act: () => void): void => {
  setImmediate(act)
}

/** Node gives a time to headers that have begun to come, and none to a connection that never says a word. */
export const cutSilent = (server: Server, millis = HEADERS_MILLIS): void => {
  server.on("connection", (socket: Socket) => {
    const cut = () => socket.bytesRead > 0 || socket.destroy()
    const timer = setTimeout(() => onceRead(cut), millis).unref()
    socket.once("close", () => clearTimeout(timer))
  })
}

/** An answer may be sent before all of the request came. Node reads and drops the rest, for as long as it drips. */
export const cutUnread = (server: Server): void => {
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    response.once("finish", () => {
      if (request.complete) return
      setTimeout(() => request.complete || request.destroy(), UNREAD_MILLIS).unref()
    })
  })
}
