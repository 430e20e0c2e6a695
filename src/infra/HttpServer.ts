import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"

/** How long answers that are being written may take once the server closes; then their connections are cut. */
const DRAIN_MILLIS = 1000

/** Listens on Node's HTTP server. Closing it waits for open answers, but for none longer than the drain. */
export const layer = (options: { readonly host: string; readonly port: number }) =>
  Layer.suspend(() => {
    const server = createServer()
    const drain = Layer.scopedDiscard(
      Effect.addFinalizer(() =>
        Effect.sync(() => {
          // The framework closes the server right after this and waits, for ever if a connection stays open.
          setTimeout(() => server.closeAllConnections(), DRAIN_MILLIS)
        }),
      ),
    )
    return Layer.provideMerge(
      drain,
      NodeHttpServer.layer(() => server, options),
    )
  })
