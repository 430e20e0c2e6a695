import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Connections } from "../../http/sse/Connections.ts"

/** The sockets of Node's HTTP server. */
export const layer = Layer.succeed(Connections, {
  of: (request) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return {
      open: () => void (response.destroyed || response.flushHeaders()),
      waiting: () => response.writableLength,
      // To one that is gone all can be written.
      write: (bytes) => response.writableEnded || response.destroyed || response.write(bytes),
      drained: Effect.async((resume) => {
        const goOn = () => resume(Effect.void)
        if (!response.writableNeedDrain) return goOn()
        response.once("drain", goOn)
        return Effect.sync(() => void response.off("drain", goOn))
      }),
      end: (bytes) => void (response.writableEnded || response.destroyed || response.end(bytes)),
      cut: () => void response.destroy(),
      onClosed: (listener) => {
        if (response.closed) listener()
        else response.once("close", listener)
      },
    }
  },
})
