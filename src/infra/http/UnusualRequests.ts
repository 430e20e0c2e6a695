import { type Server, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import { Effect } from "effect"
import { HeadersTooLarge, MethodNotAllowed, NotHttp, RequestTooSlow } from "../../http/HttpFailure.ts"
import { type AnyFailure, problemHeaders, problemOf } from "../../http/Problem.ts"
import { Admission } from "../../services/access/Admission.ts"
import { Ids } from "../../services/access/Ids.ts"
import { onceRead } from "./SlowClients.ts"

/** How long a client may take to hang up that was answered for the last time. */
const LINGER_MILLIS = 1000

/**
 * Requests that Node would not give to the service as they are. HTTP lets a server go on without the `Upgrade` that
 * it is offered (Java's client offers h2c with each first request) or the expectation that it does not know.
 */
export const takeUnusual = (server: Server): void => {
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  // With a listener for upgrades, as the framework has one, Node takes the body away from the request.
  server.on("newListener", (event) => {
    if (event === "upgrade") queueMicrotask(() => server.removeAllListeners("upgrade"))
  })
}

/** What Node cannot make a request of is answered here, as a problem like everything else, and to whom may ask. */
export const refuseUnreadable = (
  server: Server,
  fork: (answer: Effect.Effect<unknown, never, Admission | Ids>) => unknown,
): void => {
  const requests = new WeakMap<Socket, number>()
  const requestsOf = (socket: Socket) => requests.get(socket) ?? 0
  server.on("request", ({ socket }) => requests.set(socket, requestsOf(socket) + 1))
  server.on("clientError", (error: NodeJS.ErrnoException, duplex) => {
    const socket = duplex as Socket
    const answer = () => fork(refuse(socket, FAILURES[error.code ?? ""] ?? new NotHttp(), undefined))
    if (error.code !== TOO_SLOW) return answer()
    const before = requestsOf(socket)
    return onceRead(() => requestsOf(socket) > before || answer())
  })
  server.on("connect", ({ headers }, socket) => {
    // Node has let go of the socket: what goes wrong with it from here on would end the process.
    socket.on("error", () => {})
    const failure = new MethodNotAllowed({ allowed: ["GET", "POST"] })
    fork(refuse(socket as Socket, failure, headers["x-forwarded-for"]?.toString()))
  })
}

const TOO_SLOW = "ERR_HTTP_REQUEST_TIMEOUT"

const FAILURES: Readonly<Record<string, AnyFailure>> = {
  HPE_HEADER_OVERFLOW: new HeadersTooLarge(),
  [TOO_SLOW]: new RequestTooSlow(),
}

const refuse = (socket: Socket, failure: AnyFailure, forwardedFor: string | undefined) =>
  Effect.gen(function* () {
    // Nobody is left to be answered, or refused: a socket that was reset no longer knows whose it was.
    if (!socket.writable || socket.remoteAddress === undefined) return socket.destroy()
    const admission = yield* Admission
    const requestId = yield* (yield* Ids).request
    const client = admission.clientOf({ address: socket.remoteAddress, forwardedFor })
    const answer = yield* Effect.merge(Effect.as(admission.admitAddress(client, requestId), failure))
    return write(socket, answer, requestId)
  })

const write = (socket: Socket, failure: AnyFailure, requestId: string) => {
  const problem = problemOf(failure, requestId)
  const body = JSON.stringify(problem)
  const headers = {
    ...problemHeaders(failure),
    "x-request-id": requestId,
    "content-length": Buffer.byteLength(body),
    connection: "close",
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  setTimeout(() => socket.destroy(), LINGER_MILLIS).unref()
  return socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join("\r\n")}\r\n\r\n${body}`,
  )
}
