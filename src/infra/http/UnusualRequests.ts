import { type IncomingMessage, type Server, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import { Effect } from "effect"
import { Overloaded } from "../../domain/Failure.ts"
import { HeadersTooLarge, MethodNotAllowed, NotHttp, RequestTooSlow } from "../../http/HttpFailure.ts"
import { type AnyFailure, problemHeaders, problemOf } from "../../http/Problem.ts"
import { Admission } from "../../services/access/Admission.ts"
import { Ids } from "../../services/access/Ids.ts"
import { type ConnectionLimits, makeConnectionCounter } from "./ConnectionLimits.ts"
import type { SequentialServer } from "./SequentialServer.ts"
import { afterPendingReads } from "./SlowClients.ts"

/** After its last answer, a client may take this long to close the connection. */
const LINGER_MILLIS = 1000

/**
 * Passes requests with an `Upgrade` or an unknown `Expect` to the service as usual requests. HTTP lets a server ignore
 * both; Java's client offers an upgrade to h2c with each first request.
 */
export const acceptUnusualRequests = (server: Server): void => {
  server.on("request", joinHosts)
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  // If anyone listens for upgrades, as the framework does, Node gives the request no body.
  server.on("newListener", (event) => {
    if (event === "upgrade") queueMicrotask(() => server.removeAllListeners("upgrade"))
  })
}

/** Node reports the first of several `Host` lines only. Joins them, so that they are refused as no host. */
const joinHosts = ({ headers, rawHeaders }: IncomingMessage): void => {
  const hosts = rawHeaders.filter(
    (_, index) => /^host$/i.test(rawHeaders[index - 1] ?? "") && index % 2 === 1,
  )
  if (hosts.length > 1) headers.host = hosts.join(", ")
}

type Fork = (answer: Effect.Effect<unknown, never, Admission | Ids>) => unknown

/**
 * Answers bytes that Node cannot parse as a request, too large or late headers, and `CONNECT`: with a problem, after the
 * same address check as for requests.
 */
export const answerUnreadableRequests = (server: SequentialServer, fork: Fork): void => {
  // Answers go out in the order of the requests.
  server.on("clientError", (error: NodeJS.ErrnoException, duplex) => {
    const socket = duplex as Socket
    const answer = () =>
      server.whenAnswered(socket, () =>
        fork(answerProblem(socket, FAILURES[error.code ?? ""] ?? new NotHttp(), undefined)),
      )
    if (error.code !== TOO_SLOW) return answer()
    // The rest of the headers is not late: it is not read.
    if (server.isPaused(socket)) return
    const before = server.parsedOn(socket)
    return afterPendingReads(() => server.parsedOn(socket) > before || answer())
  })
  server.on("connect", ({ headers }, socket) => {
    // Node no longer handles this socket: an error without a listener would end the process.
    socket.on("error", () => {})
    const failure = new MethodNotAllowed({ allowed: ["GET", "POST"] })
    server.whenAnswered(socket as Socket, () =>
      fork(answerProblem(socket as Socket, failure, headers["x-forwarded-for"]?.toString())),
    )
  })
}

/** Answers every connection beyond the limits with `503 overloaded`, whatever it sends, and closes it. */
export const limitConnections = (server: SequentialServer, limits: ConnectionLimits, fork: Fork): void => {
  const count = makeConnectionCounter(limits)
  server.admit = (socket) => {
    if (count(socket)) return true
    // Node does not handle this socket: an error without a listener would end the process.
    socket.on("error", () => {}).resume()
    fork(answerProblem(socket, new Overloaded({ because: "connections", retryAfterSecs: 5 }), undefined))
    return false
  }
}

const TOO_SLOW = "ERR_HTTP_REQUEST_TIMEOUT"

const FAILURES: Readonly<Record<string, AnyFailure>> = {
  HPE_HEADER_OVERFLOW: new HeadersTooLarge(),
  [TOO_SLOW]: new RequestTooSlow(),
}

const answerProblem = (socket: Socket, failure: AnyFailure, forwardedFor: string | undefined) =>
  Effect.gen(function* () {
    // A socket that was reset has no remote address any more, and no client that could get an answer.
    if (socket.remoteAddress === undefined) return socket.destroy()
    // An answer is on its way: to close the connection at once would reset it, and the answer would be lost.
    if (!socket.writable) return destroyLater(socket)
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
  destroyLater(socket)
  return socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join("\r\n")}\r\n\r\n${body}`,
  )
}

const destroyLater = (socket: Socket) => void setTimeout(() => socket.destroy(), LINGER_MILLIS).unref()
