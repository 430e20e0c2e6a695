import { HttpApp, HttpServer, HttpServerError, HttpServerRequest } from "@effect/platform"
import { Context, Effect, FiberSet, Layer, Stream } from "effect"
import { Connections } from "../../http/sse/Connections.ts"
import { Exchange } from "./Exchange.ts"

/** The address that every request comes from. */
const PEER = "127.0.0.1"

const NOTHING = new Uint8Array()

/** A server without a socket. Programs in its process call it directly. */
export class InMemoryServer extends Context.Tag("clawdforge/testing/InMemoryServer")<
  InMemoryServer,
  {
    /** Answers a request. Its abort signal stands for a client that disconnects. Rejects while nothing is served. */
    readonly handle: (request: Request) => Promise<Response>
    /** Disconnects all clients. */
    readonly hangUp: Effect.Effect<void>
  }
>() {}

/** Writes a response, no faster than the client reads it. */
const respond =
  (exchangeOf: (request: HttpServerRequest.HttpServerRequest) => Exchange) =>
  (...[request, response]: Parameters<Parameters<typeof HttpApp.toHandled>[1]>) =>
    Effect.suspend(() => {
      const exchange = exchangeOf(request)
      const { body } = response
      if (body._tag !== "Stream" || request.method === "HEAD") {
        return Effect.sync(() => exchange.answer(response, request.method === "HEAD"))
      }
      exchange.begin(response)
      return Stream.runForEach(body.stream, (bytes) =>
        exchange.write(bytes) ? Effect.void : exchange.drained,
      ).pipe(
        Effect.interruptible,
        Effect.tapErrorCause(() => Effect.sync(exchange.cut)),
        Effect.orDie,
        Effect.zipRight(Effect.sync(() => exchange.end(NOTHING))),
      )
    })

const make = Effect.gen(function* () {
  const exchanges = new Map<unknown, Exchange>()
  const exchangeOf = ({ source }: HttpServerRequest.HttpServerRequest) => {
    const exchange = exchanges.get(source)
    if (exchange === undefined) throw new Error("the request did not come to this server")
    return exchange
  }
  let handle: ((request: Request) => Promise<Response>) | undefined

  const server = HttpServer.make({
    address: { _tag: "TcpAddress", hostname: PEER, port: 0 },
    serve: (app, middleware) =>
      Effect.gen(function* () {
        const handled = HttpApp.toHandled(app, respond(exchangeOf), middleware)
        const fork = yield* FiberSet.makeRuntime<never>()
        yield* Effect.addFinalizer(() => Effect.sync(() => void (handle = undefined)))
        handle = (request) => {
          const received = HttpServerRequest.fromWeb(request).modify({ remoteAddress: PEER })
          const exchange = new Exchange(() => fiber.unsafeInterruptAsFork(HttpServerError.clientAbortFiberId))
          exchanges.set(request, exchange)
          const leave = () => exchange.leave(request.signal.reason)
          const fiber = fork(Effect.provideService(handled, HttpServerRequest.HttpServerRequest, received))
          exchange.onClosed(() => {
            exchanges.delete(request)
            request.signal.removeEventListener("abort", leave)
          })
          if (request.signal.aborted) leave()
          else request.signal.addEventListener("abort", leave, { once: true })
          return exchange.response
        }
      }),
  })

  return Context.make(HttpServer.HttpServer, server).pipe(
    Context.add(Connections, { of: exchangeOf }),
    Context.add(InMemoryServer, {
      handle: (request) => handle?.(request) ?? Promise.reject(new TypeError("fetch failed")),
      hangUp: Effect.sync(() => {
        for (const exchange of exchanges.values()) exchange.cut()
      }),
    }),
  )
})

/** The server, as an `HttpServer` with its connections and as {@link InMemoryServer}. */
export const layer = Layer.effectContext(make)
