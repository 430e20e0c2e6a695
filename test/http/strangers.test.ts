import { connect } from "node:net"
import { HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option } from "effect"
import { serve } from "../../src/http/Server.ts"
import * as NodeServer from "../../src/infra/http/HttpServer.ts"
import * as NodeConnections from "../../src/infra/http/NodeConnections.ts"
import * as NodeRequestBody from "../../src/infra/http/NodeRequestBody.ts"
import { Admission } from "../../src/services/access/Admission.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import type { Refused } from "../../src/services/access/Refusals.ts"
import * as Mock from "../../src/testing.ts"
import { overSocket } from "../support/TestServer.ts"

const STRANGER = "203.0.113.5"

/** The real admission, except that 127.0.0.2 counts as an address of another host that is not allowed. */
const admission = (refused: Array<Refused>) =>
  Layer.effect(
    Admission,
    Effect.map(Admission, (real) => ({
      ...real,
      clientOf: (peer) =>
        real.clientOf({ ...peer, address: peer.address === "127.0.0.2" ? STRANGER : peer.address }),
    })),
  ).pipe(
    Layer.provide(Admission.layer({ allowCidrs: [], trustedProxies: [], adminToken: Option.none() })),
    Layer.provide([Mock.secrets, Mock.tokenStore(new Map()), Mock.refusals(refused)]),
  )

const serveOn = (refused: Array<Refused>) =>
  Effect.map(
    Layer.build(
      serve({ model: "sonnet", timeoutSecs: 5 }).pipe(
        Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 })),
        Layer.provide([
          admission(refused),
          Mock.noFiles,
          Mock.tokenStore(new Map()),
          Mock.runEngine,
          Mock.runs(Effect.die("no run is asked for")),
          Mock.sessionPool(() => Effect.die("no session is asked for")),
          Mock.clis({ claude: Option.some("mock"), acpx: Option.none() }),
          Mock.loginMonitor(),
          Mock.readiness(),
          Mock.retention,
          Mock.idempotency,
          Layer.provideMerge(Journal.layer, Mock.ledger()),
          NodeConnections.layer,
          NodeRequestBody.layer({ json: 100_000, form: 100_000 }),
        ]),
        Layer.provide([Mock.ids, Mock.revocation]),
        Layer.provide(Logger.remove(Logger.defaultLogger)),
      ),
    ),
    (context) => HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address),
  )

describe("an address that is not admitted", () => {
  it.live.each<[string, string, number]>([
    ["a request", "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200],
    ["a request of no route", "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
    ["no HTTP", "hello\r\n\r\n", 400],
    ["a bad length", "POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400],
    ["headers without end", `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(40_000)}\r\n\r\n`, 431],
    ["a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n", 405],
  ])("is refused, whatever it sends: %s", ([, bytes, status]) =>
    Effect.gen(function* () {
      const refused: Array<Refused> = []
      const url = yield* serveOn(refused)
      expect(yield* overSocket(url, [bytes])).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(refused).toEqual([])

      const answer = yield* overSocket(url, [bytes], undefined, "127.0.0.2")

      const [head = "", body = ""] = answer.split("\r\n\r\n")
      const requestId = /x-request-id: (\S+)/i.exec(head)?.[1]
      expect(head).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
      expect(head).toMatch(/content-type: application\/problem\+json/i)
      expect(JSON.parse(body)).toMatchObject({
        ok: false,
        status: 403,
        code: "ip_not_allowed",
        request_id: requestId,
      })
      expect(refused).toEqual([
        {
          code: "ip_not_allowed",
          reason: "service",
          tokenId: null,
          origin: { address: STRANGER, requestId },
        },
      ])
    }).pipe(Effect.scoped),
  )

  it.live("that asks for a tunnel as an undeclared proxy is refused", () =>
    Effect.gen(function* () {
      const refused: Array<Refused> = []
      const url = yield* serveOn(refused)
      const tunnel = "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
      expect(yield* overSocket(url, [tunnel])).toMatch(/^HTTP\/1\.1 403 /)
      expect(refused).toMatchObject([{ reason: "undeclared_proxy", origin: { address: "127.0.0.1" } }])
    }).pipe(Effect.scoped),
  )

  it.live("gets no refusal after it has disconnected in the middle of a request", () =>
    Effect.gen(function* () {
      const refused: Array<Refused> = []
      const url = yield* serveOn(refused)
      yield* Effect.async<void>((resume) => {
        const socket = connect({
          port: Number(new URL(url).port),
          host: "127.0.0.1",
          localAddress: "127.0.0.2",
        })
        socket.on("close", () => resume(Effect.void))
        socket.write("GET /healthz HTT", () => setTimeout(() => socket.resetAndDestroy(), 50))
      })
      const request = "GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n"
      expect(yield* overSocket(url, [request])).toMatch(/^HTTP\/1\.1 404 /)
      expect(refused).toEqual([])
    }).pipe(Effect.scoped),
  )
})

describe("a tunnel that is asked for right after a request", () => {
  it.live("is refused after the answer to the request", () =>
    Effect.gen(function* () {
      const url = yield* serveOn([])
      const request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
      const answers = yield* overSocket(url, [
        `${request}CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
      ])
      expect([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "405"])
    }).pipe(Effect.scoped),
  )
})
