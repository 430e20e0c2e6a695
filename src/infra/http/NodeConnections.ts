import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Connections } from "../../http/sse/Connections.ts"

/** Connections on Node's `ServerResponse`. */
export const layer = Layer.succeed(Connections, {
  of: (request) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return {
      open: () => void (response.destroyed || response.flushHeaders()),
      waiting: () => response.writableLength,
      // Without a client, each write counts as taken, so that no writer waits.
      write: (bytes) => response.writableEnded || response.destroyed || response.write(bytes),
      drained: Effect.async((resume) => {
        const onDrain = () => resume(Effect.void)
        if (!response.writableNeedDrain) return onDrain()
        response.once("drain", onDrain)
        return Effect.sync(() => void response.off("drain", onDrain))
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
