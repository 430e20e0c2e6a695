import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** The headers of a request must arrive within this time. */
export const HEADERS_MILLIS = 10_000
/** A client may leave a whole answer unread for this long, without taking any of it. */
const UNREAD_MILLIS = 60_000

/**
 * Runs `act` after the bytes that have already arrived are read. Node runs timers before it reads sockets: after a long
 * busy period, a deadline may have passed while bytes that came in time are still unread.
 */
export const afterPendingReads = (act: () => void): void => {
  setImmediate(act)
}

/** Closes connections on which no byte arrives in time. Node's `headersTimeout` starts with the first byte only. */
export const closeSilentConnections = (server: Server, millis = HEADERS_MILLIS): void => {
  server.on("connection", (socket: Socket) => {
    const cut = () => socket.bytesRead > 0 || socket.destroy()
    const timer = setTimeout(() => afterPendingReads(cut), millis).unref()
    socket.once("close", () => clearTimeout(timer))
  })
}

/** Closes connections whose clients take nothing of an answer for too long: it is in memory until they have all of it. */
export const closeUnreadAnswers = (server: Server, millis = UNREAD_MILLIS): void => {
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    // Node leaves the timer of the answer before when this request was sent along with that one.
    socket.setTimeout(0)
    // Node's timer starts again whenever some bytes are taken, and is set anew when the answer is written.
    response.once("prefinish", () => response.writableFinished || socket.setTimeout(millis))
  })
}
