import { NodeHttpServerRequest } from "@effect/platform-node"
import { Layer } from "effect"
import { Connections } from "../../http/Connections.ts"

/** The sockets of Node's HTTP server. */
export const layer = Layer.succeed(Connections, {
  of: (request) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return {
      open: () => void (response.destroyed || response.flushHeaders()),
      waiting: () => response.writableLength,
      write: (bytes) => void (response.writableEnded || response.destroyed || response.write(bytes)),
      end: (bytes) => void (response.writableEnded || response.destroyed || response.end(bytes)),
      cut: () => void response.destroy(),
      onClosed: (listener) => {
        if (response.closed) listener()
        else response.once("close", listener)
      },
    }
  },
})
