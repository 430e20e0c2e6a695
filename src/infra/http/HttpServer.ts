import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Runtime } from "effect"
import type { Admission } from "../../services/access/Admission.ts"
import type { Ids } from "../../services/access/Ids.ts"
import { cutSilent, cutUnread, HEADERS_MILLIS } from "./SlowClients.ts"
import { refuseUnreadable, takeUnusual } from "./UnusualRequests.ts"

/** How long answers that are being written may take once the server closes; then their connections are cut. */
const DRAIN_MILLIS = 500

/** Listens on Node's HTTP server. Closing it waits for open answers, but for none longer than the drain. */
export const layer = (options: { readonly host: string; readonly port: number }) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const runtime = yield* Effect.runtime<Admission | Ids>()
      const server = createServer({
        requireHostHeader: false,
        headersTimeout: HEADERS_MILLIS,
        // Bodies have a time of their own, see NodeRequestBody.
        requestTimeout: 0,
        connectionsCheckingInterval: 1000,
      })
      // By default Node may leave out the last header lines of many: among them what a trusted proxy added to a client's.
      server.maxHeadersCount = 0
      cutSilent(server)
      cutUnread(server)
      takeUnusual(server)
      refuseUnreadable(server, Runtime.runFork(runtime))
      const drain = Layer.scopedDiscard(
        Effect.addFinalizer(() =>
          Effect.sync(() => {
            // The framework closes the server right after this and waits, for ever if a connection stays open.
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
