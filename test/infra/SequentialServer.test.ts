import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "@effect/vitest"
import { SequentialServer } from "../../src/infra/http/SequentialServer.ts"
import { turnsOfLoop } from "../support/Pace.ts"
import { until } from "../support/Service.ts"

type Handler = (request: IncomingMessage, response: ServerResponse) => void

let server: SequentialServer
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

/** A client of a server with that handler, and what it has received. It reads as long as it is not paused. */
const start = async (handler: Handler) => {
  server = new SequentialServer({ requireHostHeader: false }, handler)
  await once(server.listen(0, "127.0.0.1"), "listening")
  const { port } = server.address() as AddressInfo
  const socket: Socket = connect(port, "127.0.0.1")
  let received = ""
  socket.on("data", (data) => (received += String(data))).on("error", () => {})
  return { socket, port, received: () => received }
}

const get = (path: string | number) => `GET /${path} HTTP/1.1\r\n\r\n`
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)
const answersIn = (received: string) => [...received.matchAll(/\[(\d+)\]/g)].map(([, n]) => Number(n))

describe("the requests of one connection", () => {
  it("are all answered, in their order, and one is in hand at a time", async () => {
    let inHand = 0
    let most = 0
    const { socket, received } = await start((request, response) => {
      most = Math.max(most, (inHand += 1))
      setImmediate(() => {
        inHand -= 1
        response.end(`[${request.url?.slice(1)}]`)
      })
    })
    socket.write(numbers(1000).map(get).join(""))
    await until(() => answersIn(received()).length === 1000)
    expect(answersIn(received())).toEqual(numbers(1000))
    expect(most).toBe(1)
  })

  it("are answered also when each has a body, and arrives in pieces", async () => {
    const { socket, received } = await start((request, response) => {
      let body = ""
      request.on("data", (data) => (body += String(data))).on("end", () => response.end(`[${body}]`))
    })
    const posts = numbers(300)
      .map((n) => `POST / HTTP/1.1\r\nContent-Length: ${String(n).length}\r\n\r\n${n}`)
      .join("")
    for (let at = 0; at < posts.length; at += 1000) {
      socket.write(posts.slice(at, at + 1000))
      await turnsOfLoop(1)
    }
    await until(() => answersIn(received()).length === 300)
    expect(answersIn(received())).toEqual(numbers(300))
  })

  it("are dropped when the client hangs up", async () => {
    const begun: Array<string | undefined> = []
    let hasClosed = false
    const { socket } = await start((request, response) => {
      begun.push(request.url)
      response.once("close", () => (hasClosed = true))
    })
    socket.write(numbers(50).map(get).join(""))
    await until(() => server.waiting === 49)
    socket.destroy()
    await until(() => hasClosed)
    await turnsOfLoop()
    expect(begun).toEqual(["/0"])
    expect(server.waiting).toBe(0)
  })

  it("are begun no faster than the client reads the answers", async () => {
    const size = 4 * 1024 * 1024
    let begun = 0
    const { socket, received } = await start((_, response) => {
      begun += 1
      response.end(`${"x".repeat(size)}[${begun}]`)
    })
    socket.pause()
    socket.write(numbers(20).map(get).join(""))
    await until(() => server.waiting > 0)
    await turnsOfLoop()
    // What the kernel holds for a client is less than this.
    expect(begun).toBeLessThan(10)
    socket.resume()
    await until(() => answersIn(received()).length === 20)
    expect(server.waiting).toBe(0)
  })

  it("are read no faster than they are answered", async () => {
    let first: ServerResponse | undefined
    let begun = 0
    const { socket } = await start((_, response) => {
      begun += 1
      if (first === undefined) first = response
      else response.end()
    })
    // More than Node reads at once, and more than the kernel holds.
    const request = `GET / HTTP/1.1\r\nA: ${"a".repeat(8000)}\r\n\r\n`
    let written = 0
    for (let n = 0; n < 4000; n++) socket.write(request, () => (written += 1))
    await until(() => server.waiting >= 64)
    await turnsOfLoop()
    expect(server.waiting).toBeLessThan(64 + 9)
    expect(written).toBeLessThan(4000)
    first?.end()
    await until(() => begun === 4000)
  })

  it("close it when more than a thousand wait", async () => {
    const begun: Array<ServerResponse> = []
    const { socket } = await start((_, response) => begun.push(response))
    socket.write(numbers(2000).map(get).join(""))
    await once(socket, "close")
    await turnsOfLoop()
    expect(begun).toHaveLength(1)
    expect(server.waiting).toBe(0)
  })

  it("do not keep those of another connection waiting", async () => {
    const { socket, port } = await start((request, response) => {
      if (request.url === "/livez") response.end("[1]")
    })
    socket.write(numbers(100).map(get).join(""))
    await until(() => server.waiting === 99)
    const other = connect(port, "127.0.0.1", () => other.write(get("livez")))
    const [answer] = await once(other, "data")
    expect(String(answer)).toContain("[1]")
    other.destroy()
  })
})
