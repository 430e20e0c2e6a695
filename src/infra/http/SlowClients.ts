import type { Server } from "node:http"
import type { Socket } from "node:net"

/** The headers of a request must arrive within this time. */
export const HEADERS_MILLIS = 10_000
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
