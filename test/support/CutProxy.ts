import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/** A way to a server on which connections are lost. */
export interface CutProxy {
  readonly url: string
  /** How many connections there were, and how many of them were cut. */
  readonly seen: () => { readonly connections: number; readonly cut: number }
}

/** Cuts its n-th connection once `cuts[n]` bytes came back from the server; those beyond, never. Gone with the scope. */
export const cutProxy = (
  url: string,
  cuts: ReadonlyArray<number>,
): Effect.Effect<CutProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    let connections = 0
    let cut = 0
    const kept = (socket: Socket) => {
      sockets.add(socket)
      return socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    }
    const proxy = createServer((client) => {
      const { hostname, port } = new URL(url)
      const server = kept(connect({ host: hostname, port: Number(port) }))
      let left = cuts[connections++] ?? Number.POSITIVE_INFINITY
      kept(client).pipe(server)
      client.on("close", () => server.destroy())
      server.on("end", () => client.end())
      server.on("close", () => client.end())
      server.on("data", (bytes: Buffer) => {
        if (left <= 0) return
        client.write(bytes.subarray(0, left))
        left -= bytes.length
        if (left > 0) return
        cut += 1
        client.end()
        server.destroy()
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(proxy.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.promise(async () => {
          const closed = once(proxy, "close")
          proxy.close()
          for (const socket of sockets) socket.destroy()
          await closed
        }),
    )
    return {
      url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      seen: () => ({ connections, cut }),
    }
  })
