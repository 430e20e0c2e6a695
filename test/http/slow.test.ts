import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Stream } from "effect"
import type { AnyFailure } from "../../src/http/Problem.ts"
import { RequestBody } from "../../src/http/RequestBody.ts"
import * as NodeRequestBody from "../../src/infra/http/NodeRequestBody.ts"
import { expectWithin } from "../support/Pace.ts"
import { eventually, overSocket, scriptedClaude, startServer } from "../support/TestServer.ts"

/** Slow clients, and other clients beside them. */

const idleSocket = (url: string) =>
  Effect.acquireRelease(
    Effect.async<Socket>((resume) => {
      const socket = connect(Number(new URL(url).port), "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy()),
  )

const LIVEZ = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

describe.concurrent("slow clients", () => {
  it.live("do not slow down others, five hundred at once, and are disconnected after ten seconds", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
        const token = yield* server.mint("recipes")
        const sockets = yield* Effect.all(
          Array.from({ length: 500 }, () => idleSocket(server.url)),
          { concurrency: 50 },
        )
        let said = ""
        sockets[0]?.on("data", (data) => (said += String(data)))
        sockets[0]?.write("POST /run HTTP/1.1\r\nHos")
        // An answer that nobody reads would keep a socket from its end.
        for (const socket of sockets) socket.resume()
        const [took, answer] = yield* Effect.timed(server.run(token, { prompt: "SAY hello" }))
        expect(answer.json.result).toBe("hello")
        yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 5000))
        const kept = yield* idleSocket(server.url)
        let answers = ""
        kept.on("data", (data) => (answers += String(data)))
        kept.write(LIVEZ)
        yield* Effect.sleep("10 seconds")
        yield* eventually(() =>
          expect(sockets.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded)).toHaveLength(
            0,
          ),
        )
        expect(said).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"request_timeout"/)
        // The time for headers starts with a request, not with the end of the one before.
        kept.write(LIVEZ)
        yield* eventually(() => expect(answers.match(/HTTP\/1\.1 200 /g)).toHaveLength(2))
      }),
    ),
  )
})

/** Sends a body to a server that reads it by `read`, with a short deadline. Returns the server's outcome. */
const readBy = (
  read: (
    body: RequestBody["Type"],
    request: HttpServerRequest.HttpServerRequest,
  ) => Effect.Effect<unknown, AnyFailure>,
  parts: (drip: (text: string) => Effect.Effect<void>) => Effect.Effect<void>,
  timeout = Duration.millis(300),
) =>
  Effect.gen(function* () {
    const body = yield* RequestBody
    const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      // Interruptible, as routes are; effects that are served without a router are not.
      Effect.match(Effect.interruptible(read(body, request)), {
        onSuccess: () => HttpServerResponse.text("read"),
        onFailure: ({ _tag }) => HttpServerResponse.text(_tag),
      }),
    )
    const context = yield* Layer.build(
      Layer.provideMerge(
        HttpServer.serve(app),
        NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }),
      ),
    )
    const socket = yield* idleSocket(
      HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address),
    )
    let said = ""
    socket.on("data", (data) => (said += String(data)))
    yield* Effect.fork(parts((text) => Effect.sync(() => void socket.write(text))))
    yield* eventually(() => expect(said).toMatch(/\r\n\r\n./))
    return said.split("\r\n").at(-1)
  }).pipe(Effect.scoped, Effect.provide(NodeRequestBody.layer({ json: 1000, form: 100_000_000, timeout })))

const HEAD = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
const FILE = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

const asJson = (body: RequestBody["Type"], request: HttpServerRequest.HttpServerRequest) =>
  body.bytes(request, () => Effect.void)
const asForm = (body: RequestBody["Type"], request: HttpServerRequest.HttpServerRequest) =>
  Stream.runDrain(body.form(request))

describe.concurrent("a body", () => {
  it.live("that stops arriving is refused after the deadline", () =>
    Effect.map(
      readBy(asJson, (send) => send(`${HEAD}Content-Length: 500\r\n\r\nxx`)),
      (said) => expect(said).toBe("RequestTooSlow"),
    ),
  )

  it.live("that arrives too slowly is refused after the deadline", () =>
    Effect.map(
      readBy(asJson, (send) =>
        Effect.zipRight(
          send(`${HEAD}Content-Length: 500\r\n\r\n`),
          Effect.repeatN(Effect.delay(send("x"), "50 millis"), 100),
        ),
      ),
      (said) => expect(said).toBe("RequestTooSlow"),
    ),
  )

  it.live("of an upload that arrives too slowly is refused", () =>
    Effect.map(
      readBy(asForm, (send) =>
        Effect.zipRight(
          send(`${HEAD}Content-Length: 500\r\n\r\n${FILE}`),
          Effect.repeatN(Effect.delay(send("x"), "50 millis"), 100),
        ),
      ),
      (said) => expect(said).toBe("RequestTooSlow"),
    ),
  )

  it.live("of an upload may take long, if a mebibyte arrives in each period", () =>
    Effect.map(
      readBy(
        asForm,
        (send) => {
          const block = "x".repeat(4 * 1024 * 1024)
          const length = FILE.length + 4 * block.length + "\r\n--b--\r\n".length
          return Effect.all([
            send(`${HEAD}Content-Length: ${length}\r\n\r\n${FILE}`),
            Effect.repeatN(Effect.delay(send(block), "1 second"), 3),
            send("\r\n--b--\r\n"),
          ])
        },
        Duration.seconds(3),
      ),
      (said) => expect(said).toBe("read"),
    ),
  )

  it.live("that is cut off fails with BodyUnreadable", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const token = yield* server.mint("recipes")
      // Only the write side is closed, so the answer can still arrive.
      const answer = yield* overSocket(server.url, [
        `POST /run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
      ])
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    }).pipe(Effect.scoped),
  )
})
