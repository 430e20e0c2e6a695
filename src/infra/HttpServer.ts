import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HeadersTooLarge, MethodNotAllowed, NotHttp, RequestTooSlow } from "../http/HttpFailure.ts"
import { type Failing, problemHeaders, problemOf } from "../http/Problem.ts"
import { Ids } from "../services/Ids.ts"

/** How long answers that are being written may take once the server closes; then their connections are cut. */
const DRAIN_MILLIS = 1000

/** In what time the headers of a request must be there; bodies have a time of their own (`NodeRequestBody`). */
const HEADERS_MILLIS = 10_000
/** How long a client may go on sending a body that nobody reads any more. */
const UNREAD_MILLIS = 60_000

/** Listens on Node's HTTP server. Closing it waits for open answers, but for none longer than the drain. */
export const layer = (options: { readonly host: string; readonly port: number }) =>
  Layer.unwrapEffect(
    Effect.map(Ids, (ids) => {
      const server = createServer({
        requireHostHeader: false,
        headersTimeout: HEADERS_MILLIS,
        requestTimeout: 0,
        connectionsCheckingInterval: 1000,
      })
      takeUnusual(server)
      cutSilent(server)
      cutUnread(server)
      refuseUnreadable(server, () => Effect.runSync(ids.request))
      const drain = Layer.scopedDiscard(
        Effect.addFinalizer(() =>
          Effect.sync(() => {
            // The framework closes the server right after this and waits, for ever if a connection stays open.
            setTimeout(() => server.closeAllConnections(), DRAIN_MILLIS).unref()
          }),
        ),
      )
      return Layer.provideMerge(
        drain,
        NodeHttpServer.layer(() => server, options),
      )
    }),
  )

/**
 * Requests that Node would not give to the service as they are. HTTP lets a server go on without the `Upgrade` that
 * it is offered (Java's client offers h2c with each first request) or the expectation that it does not know.
 */
const takeUnusual = (server: Server) => {
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  // With a listener for upgrades, as the framework has one, Node takes the body away from the request.
  server.on("newListener", (event) => {
    if (event === "upgrade") queueMicrotask(() => server.removeAllListeners("upgrade"))
  })
}

/** Node gives a time to headers that have begun to come, and none to a connection that never says a word. */
const cutSilent = (server: Server) => {
  server.on("connection", (socket: Socket) => {
    const timer = setTimeout(() => socket.bytesRead > 0 || socket.destroy(), HEADERS_MILLIS).unref()
    socket.once("close", () => clearTimeout(timer))
  })
}

/** An answer may be sent before all of the request came. Node reads and drops the rest, for as long as it drips. */
const cutUnread = (server: Server) => {
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    response.once("finish", () => {
      if (request.complete) return
      setTimeout(() => request.complete || request.destroy(), UNREAD_MILLIS).unref()
    })
  })
}

/** What Node cannot make a request of is answered here, as a problem like everything else. */
const refuseUnreadable = (server: Server, requestId: () => string) => {
  server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
    refuse(socket, FAILURES[error.code ?? ""] ?? new NotHttp(), requestId()),
  )
  server.on("connect", (_, socket) =>
    refuse(socket, new MethodNotAllowed({ allowed: ["GET", "POST"] }), requestId()),
  )
}

const FAILURES: Readonly<Record<string, Failing>> = {
  HPE_HEADER_OVERFLOW: new HeadersTooLarge(),
  ERR_HTTP_REQUEST_TIMEOUT: new RequestTooSlow(),
}

const refuse = (socket: Duplex, failure: Failing, requestId: string) => {
  if (!socket.writable) return socket.destroy()
  const problem = problemOf(failure, requestId)
  const body = JSON.stringify(problem)
  const headers = {
    ...problemHeaders(failure),
    "x-request-id": requestId,
    "content-length": Buffer.byteLength(body),
    connection: "close",
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join("\r\n")}\r\n\r\n${body}`,
  )
  return socket
}
