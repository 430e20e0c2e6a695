import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { overSocket, scriptedClaude, startServer } from "../support/TestServer.ts"

const LIVEZ = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
const NEIGHBOUR = "127.0.0.2"
const PROXY = "127.0.0.3"
const REFUSED = /^HTTP\/1\.1 503 [\s\S]*\r\nretry-after: 5\r\n[\s\S]*"code":"overloaded"/i

const start = startServer({
  claudeBin: Option.some(scriptedClaude),
  maxConnectionsPerAddress: 2,
  trustedProxies: [PROXY],
})

/** An open connection on which the server has answered. */
const answered = (url: string, localAddress: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket: Socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1", localAddress })
      socket.write(LIVEZ)
      const [answer] = await once(socket, "data")
      expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /)
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy()),
  )

describe("the connections of one address", () => {
  it.live("are answered and closed beyond their limit, until one of them ends; others are not affected", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const first = yield* answered(url, "127.0.0.1")
      yield* answered(url, "127.0.0.1")
      expect(yield* overSocket(url, [LIVEZ])).toMatch(REFUSED)
      // Also one that sends nothing.
      expect(yield* overSocket(url, [])).toMatch(REFUSED)
      yield* answered(url, NEIGHBOUR)
      first.destroy()
      const last = LIVEZ.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
      const again = overSocket(url, [last])
      expect(yield* Effect.repeat(again, { until: (answer) => !REFUSED.test(answer) })).toMatch(/ 200 OK/)
    }).pipe(Effect.scoped),
  )

  it.live("have no limit if it is a trusted proxy", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      for (let n = 0; n < 5; n++) yield* answered(url, PROXY)
    }).pipe(Effect.scoped),
  )
})
