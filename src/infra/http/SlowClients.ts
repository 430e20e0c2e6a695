import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** In what time the headers of a request must be there. */
export const HEADERS_MILLIS = 10_000
/** How long a client may go on sending a body that nobody reads any more. */
const UNREAD_MILLIS = 60_000

/** Node gives a time to headers that have begun to come, and none to a connection that never says a word. */
export const cutSilent = (server: Server): void => {
  server.on("connection", (socket: Socket) => {
    const timer = setTimeout(() => socket.bytesRead > 0 || socket.destroy(), HEADERS_MILLIS).unref()
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
