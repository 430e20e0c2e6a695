import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** The rest of an answered request's body may take this long on a connection that stays in use. */
const REST_MILLIS = 5000
/** After its last answer, a client that still sends may take this long, and send so many bytes, until it reads it. */
const LINGER_MILLIS = 30_000
const LINGER_MAX_BYTES = 64 * 1024 * 1024
/** How often the bytes of a client that still sends are counted. */
const COUNT_INTERVAL_MILLIS = 250

/** The requests whose clients wait for `100 Continue` before they send the body. */
const waiting = new WeakSet<IncomingMessage>()

/**
 * Holds back `100 Continue` until the body is wanted. By default Node sends it before the request is looked at, and the
 * client of a request that is refused sends its whole body.
 */
export const holdBackContinue = (server: Server): void => {
  server.on("checkContinue", (request, response) => {
    waiting.add(request)
    server.emit("request", request, response)
  })
}

/** Tells a client that waits for it to send its body. */
export const askForBody = (request: IncomingMessage, response: ServerResponse): void => {
  if (waiting.delete(request)) response.writeContinue()
}

/**
 * Closes a connection whose client still sends the body of an answered request: first for writing only, while the body is
 * read and dropped. Node closes it at once for both, which resets the connection before the client has read the answer.
 * That also ends requests whose body goes on arriving long after their answer: Node would wait for it without a limit.
 */
export const lingerForBodies = (server: Server): void => {
  const newest = new WeakMap<Socket, IncomingMessage>()
  server.on("connection", (socket: Socket) => {
    const destroySoon = socket.destroySoon.bind(socket)
    // Node calls it after the last response of a connection.
    socket.destroySoon = () => {
      const request = newest.get(socket)
      if (request === undefined || request.complete) destroySoon()
      else linger(socket, request)
    }
  })
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    newest.set(socket, request)
    response.once("finish", () => {
      if (request.complete) return
      setTimeout(
        () => request.complete || socket.writableEnded || linger(socket, request),
        REST_MILLIS,
      ).unref()
    })
  })
}

const linger = (socket: Socket, request: IncomingMessage): void => {
  const until = performance.now() + LINGER_MILLIS
  const bytesMax = socket.bytesRead + LINGER_MAX_BYTES
  const timer = setInterval(() => {
    if (request.complete || performance.now() > until || socket.bytesRead > bytesMax) socket.destroy()
  }, COUNT_INTERVAL_MILLIS).unref()
  socket.once("close", () => clearInterval(timer))
  request.once("end", () => socket.destroySoon())
  socket.end()
  request.resume()
}
