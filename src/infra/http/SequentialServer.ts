import { type IncomingMessage, Server, type ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** From so many waiting requests of a connection on, nothing more is read from it. */
const PAUSE_REQUESTS = 64
/** A connection with more waiting requests is closed. Node parses up to 64 KiB at once, whether or not it is to read on. */
const WAITING_MAX_REQUESTS = 1024
/** The same for all connections together: beyond it, connections are closed that have more than `PAUSE_REQUESTS`. */
const WAITING_MAX_REQUESTS_IN_ALL = 16 * 1024

/** The events by which Node passes a request to a server. */
const REQUEST_EVENTS: ReadonlySet<unknown> = new Set(["request", "checkContinue", "checkExpectation"])

type RequestEvent = readonly [event: string, request: IncomingMessage, response: ServerResponse]

/** The requests of one connection. */
interface Connection {
  readonly socket: Socket
  current: IncomingMessage | undefined
  /** Requests that were parsed and are not served yet. */
  waiting: Array<RequestEvent>
  /** How many requests were parsed. */
  parsed: number
  /** Called when nothing is being served and nothing waits. */
  onIdle: (() => void) | undefined
}

/**
 * Node's HTTP server, except that it serves the requests of one connection one after the other. The next request of a
 * connection is begun when the kernel has taken the whole answer to the one before, so a client gets no further than it
 * reads. When the client hangs up, the requests that wait are dropped.
 *
 * Node itself begins every request as soon as it is parsed, a thousand of one packet at once, and keeps their answers in
 * memory until they can be sent. It does not tell those that wait that the client has hung up.
 */
export class SequentialServer extends Server {
  readonly #connections = new WeakMap<Socket, Connection>()
  #waiting = 0
  /** Whether Node is to serve a new connection. Who returns false has to close it. */
  admit: (socket: Socket) => boolean = () => true

  /** The number of requests of all connections that were parsed and are not served yet. */
  get waiting(): number {
    return this.#waiting
  }

  /** The number of requests of a connection that were parsed. */
  parsedOn(socket: Socket): number {
    return this.#connections.get(socket)?.parsed ?? 0
  }

  /** Whether the service reads nothing from a connection now, because of requests that wait. */
  isPaused(socket: Socket): boolean {
    return isFull(this.#connections.get(socket))
  }

  /**
   * Calls the function when the requests of a connection are answered that have arrived as a whole: what comes next on it
   * cannot be read. A request without its end is dropped. Only the last function is called.
   */
  whenAnswered(socket: Socket, act: () => void): void {
    const connection = this.#connections.get(socket)
    if (connection?.waiting.at(-1)?.[1].complete === false) {
      connection.waiting.pop()
      this.#waiting -= 1
    }
    if (connection?.current?.complete) connection.onIdle = act
    else act()
  }

  override emit(event: string | symbol, ...args: Array<any>): boolean {
    if (event === "connection" && !this.admit(args[0])) return true
    if (!REQUEST_EVENTS.has(event)) return super.emit(event as string, ...args)
    const [request, response] = args as [IncomingMessage, ServerResponse]
    const connection = this.#connectionOf(request.socket)
    // A listener passes the request on as another event.
    if (connection.current === request) return super.emit(event as string, request, response)
    connection.parsed += 1
    const next = [event as string, request, response] as const
    if (connection.current === undefined) this.#begin(connection, next)
    else this.#enqueue(connection, next)
    return true
  }

  #connectionOf(socket: Socket): Connection {
    const known = this.#connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { socket, current: undefined, waiting: [], parsed: 0, onIdle: undefined }
    this.#connections.set(socket, connection)
    // Node resumes a socket also to read the rest of the body of the request before.
    socket.on("resume", () => isFull(connection) && socket.pause())
    socket.once("close", () => this.#drop(connection))
    return connection
  }

  #begin(connection: Connection, [event, request, response]: RequestEvent): void {
    connection.current = request
    response.once("close", () => this.#end(connection))
    super.emit(event, request, response)
  }

  #end(connection: Connection): void {
    const { socket, waiting } = connection
    connection.current = undefined
    if (socket.destroyed || socket.writableEnded) return this.#drop(connection)
    const next = waiting.shift()
    if (next === undefined) {
      const act = connection.onIdle
      connection.onIdle = undefined
      return act?.()
    }
    this.#waiting -= 1
    this.#begin(connection, next)
    if (!isFull(connection) && socket.isPaused()) socket.resume()
  }

  #enqueue(connection: Connection, next: RequestEvent): void {
    const { socket, waiting } = connection
    if (socket.destroyed) return
    waiting.push(next)
    this.#waiting += 1
    if (!isFull(connection)) return
    socket.pause()
    if (waiting.length > WAITING_MAX_REQUESTS || this.#waiting > WAITING_MAX_REQUESTS_IN_ALL) socket.destroy()
  }

  #drop(connection: Connection): void {
    this.#waiting -= connection.waiting.length
    connection.waiting = []
  }
}

const isFull = (connection: Connection | undefined): boolean =>
  connection !== undefined && connection.waiting.length >= PAUSE_REQUESTS
