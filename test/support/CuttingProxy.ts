import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/** What stands between a client and the service, and loses its connections. */
export interface CuttingProxy {
  readonly url: string
  /** The heads of the requests that came, in order. */
  readonly requests: ReadonlyArray<string>
  /** After how many bytes of its answer each next connection is cut; when there are no more, none is. */
  readonly cuts: Array<number>
  /** Cuts all that is open. */
  readonly cutAll: () => void
}

/** Each connection has one request. One that is cut is reset, or ends as if the answer were whole. */
export const cuttingProxy = (
  target: () => string,
  cutBy: "reset" | "end" = "reset",
): Effect.Effect<CuttingProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<string> = []
    const cuts: Array<number> = []
    const open = new Set<Socket>()
    const server = createServer((client) => {
      const cut = cuts.shift() ?? Number.POSITIVE_INFINITY
      const service = connect({ host: "127.0.0.1", port: Number(new URL(target()).port) })
      for (const socket of [client, service]) {
        open.add(socket)
        socket
          .on("error", () => {})
          .on("close", () => {
            open.delete(socket)
            client.destroy()
            service.destroy()
          })
      }
      let head: string | undefined = ""
      client.on("data", (piece: Buffer) => {
        if (head !== undefined) {
          head += piece.toString("latin1")
          const end = head.indexOf("\r\n\r\n")
          if (end >= 0) {
            requests.push(head.slice(0, end).toLowerCase())
            // Nothing is sent again on this connection: what is cut is one answer.
            service.write(Buffer.from(head.replace(/connection: keep-alive/i, "connection: close"), "latin1"))
            head = undefined
          }
          return
        }
        service.write(piece)
      })
      let passed = 0
      service.on("data", (piece: Buffer) => {
        if (passed >= cut) return
        client.write(piece.subarray(0, cut - passed))
        passed += piece.length
        if (passed < cut) return
        if (cutBy === "reset") client.resetAndDestroy()
        else client.end(() => service.destroy())
      })
      service.on("end", () => client.end())
    })
    yield* Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening"))
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        server.close()
        for (const socket of open) socket.destroy()
        await once(server, "close")
      }),
    )
    const address = server.address()
    if (address === null || typeof address === "string") return yield* Effect.dieMessage("no port")
    return {
      url: `http://127.0.0.1:${address.port}`,
      requests,
      cuts,
      cutAll: () => open.forEach((socket) => socket.resetAndDestroy()),
    }
  })
