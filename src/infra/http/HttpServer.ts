import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Runtime } from "effect"
import type { Admission } from "../../services/access/Admission.ts"
import type { Ids } from "../../services/access/Ids.ts"
import { closeSilentConnections, closeUnreadRequests, HEADERS_MILLIS } from "./SlowClients.ts"
import { acceptUnusualRequests, answerUnreadableRequests } from "./UnusualRequests.ts"

/** After the server closes, answers have this long to be written; then their connections are closed. */
const DRAIN_MILLIS = 500

/** Listens with Node's HTTP server. To close it takes no longer than `DRAIN_MILLIS`, whatever clients do. */
export const layer = (options: { readonly host: string; readonly port: number }) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const runtime = yield* Effect.runtime<Admission | Ids>()
      const server = createServer({
        requireHostHeader: false,
        headersTimeout: HEADERS_MILLIS,
        // NodeRequestBody limits the time of a body.
        requestTimeout: 0,
        connectionsCheckingInterval: 1000,
      })
      // By default Node drops header lines beyond a limit, and those that a trusted proxy appends are the last.
      server.maxHeadersCount = 0
      closeSilentConnections(server)
      closeUnreadRequests(server)
      acceptUnusualRequests(server)
      answerUnreadableRequests(server, Runtime.runFork(runtime))
      const drain = Layer.scopedDiscard(
        Effect.addFinalizer(() =>
          Effect.sync(() => {
            // The framework closes the server right after this, and waits forever for an open connection.
            setTimeout(() => server.closeAllConnections(), DRAIN_MILLIS).unref()
          }),
        ),
      )
      return Layer.provideMerge(
        drain,
        NodeHttpServer.layer(() => server, options),
      )
    }),
  )
