import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { type AddressInfo, connect, type Socket } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { SequentialServer } from "../../src/infra/http/SequentialServer.ts"
import { closeSilentConnections, closeUnreadAnswers } from "../../src/infra/http/SlowClients.ts"
import { answerUnreadableRequests } from "../../src/infra/http/UnusualRequests.ts"
import { until } from "../support/Service.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const PATIENCE_MILLIS = 100

/** Says all at once, notes that it has, and prints the answer. */
const CLIENT = `
  const [port, said] = process.argv.slice(1)
  const socket = require("node:net").connect(port, "127.0.0.1", () =>
    socket.write("GET / HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\n\\r\\n", () =>
      require("node:fs").writeFileSync(said, ""),
    ),
  )
  socket.pipe(process.stdout)`

describe("a client that says all at once", () => {
  it.live("is heard, also when the process is busy until its time is over", () =>
    Effect.gen(function* () {
      const said = join(yield* temporaryDirectory, "said")
      const server = new SequentialServer(
        { headersTimeout: PATIENCE_MILLIS, requestTimeout: 0, connectionsCheckingInterval: 10 },
        (_, response) => response.end("heard"),
      )
      const refused: Array<unknown> = []
      closeSilentConnections(server, PATIENCE_MILLIS)
      answerUnreadableRequests(server, (answer) => refused.push(answer))
      server.on("connection", () => {
        const from = performance.now()
        while (!existsSync(said) || performance.now() - from < 4 * PATIENCE_MILLIS);
      })
      const answer = yield* Effect.promise(async () => {
        await once(server.listen(0, "127.0.0.1"), "listening")
        const { port } = server.address() as AddressInfo
        const client = spawn(process.execPath, ["-e", CLIENT, String(port), said], {
          stdio: ["ignore", "pipe", "inherit"],
        })
        let printed = ""
        client.stdout.on("data", (data) => (printed += String(data)))
        await once(client, "close")
        server.close()
        return printed
      })
      expect(refused).toEqual([])
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*heard/)
    }).pipe(Effect.scoped),
  )
})

/** More than the kernel holds for a client. */
const ANSWER = Buffer.alloc(32 * 1024 * 1024, "x")

/** Asks a server that gives up unread answers after that time, and pauses or not. Returns the server's socket, too. */
const ask = async (millis: number) => {
  const server = new SequentialServer({ requireHostHeader: false })
  closeUnreadAnswers(server, millis)
  server.on("request", (_, response) => response.end(ANSWER))
  await once(server.listen(0, "127.0.0.1"), "listening")
  const { port } = server.address() as AddressInfo
  const client = connect(port, "127.0.0.1", () => client.write("GET / HTTP/1.1\r\n\r\n")).pause()
  const [served] = (await once(server, "connection")) as [Socket]
  return { server, client, served }
}

describe("an answer that its client does not read", () => {
  it("is given up", async () => {
    const { server, client, served } = await ask(PATIENCE_MILLIS)
    await once(served, "close")
    expect(served.bytesWritten).toBeGreaterThan(0)
    client.destroy()
    server.close()
  })

  it("has no time limit any more when it is read", async () => {
    const { server, client, served } = await ask(60_000)
    await until(() => served.timeout === 60_000)
    let taken = 0
    client.on("data", ({ length }) => (taken += length)).resume()
    await until(() => taken > ANSWER.length)
    await until(() => served.timeout !== 60_000)
    expect(served.destroyed).toBe(false)
    client.destroy()
    server.close()
  })

  it("puts no time limit on the request that was sent along with it", async () => {
    const server = new SequentialServer({ requireHostHeader: false })
    closeUnreadAnswers(server, 60_000)
    server.on("request", ({ url, socket }, response) =>
      response.end(url === "/large" ? ANSWER : `[limit ${socket.timeout}]`),
    )
    await once(server.listen(0, "127.0.0.1"), "listening")
    const { port } = server.address() as AddressInfo
    const requests = ["/large", "/next"].map((path) => `GET ${path} HTTP/1.1\r\n\r\n`).join("")
    const client = connect(port, "127.0.0.1", () => client.write(requests)).pause()
    const [served] = (await once(server, "connection")) as [Socket]
    await until(() => served.timeout === 60_000)
    let end = ""
    client.on("data", (data) => (end = `${end}${String(data)}`.slice(-100))).resume()
    await until(() => end.endsWith("]"))
    expect(end).toMatch(/\[limit 0\]$/)
    client.destroy()
    server.close()
  })
})
