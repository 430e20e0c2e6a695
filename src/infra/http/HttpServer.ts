import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Runtime } from "effect"
import type { Admission } from "../../services/access/Admission.ts"
import type { Ids } from "../../services/access/Ids.ts"
import { connectionsOfProcess } from "./ConnectionLimits.ts"
import { holdBackContinue, lingerForBodies } from "./LateBodies.ts"
import { SequentialServer } from "./SequentialServer.ts"
import { closeSilentConnections, closeUnreadAnswers, HEADERS_MILLIS } from "./SlowClients.ts"
import { acceptUnusualRequests, answerUnreadableRequests, limitConnections } from "./UnusualRequests.ts"

/**
 * How long a connection without a request stays open: longer than pooled clients and proxies keep theirs (nginx 60 s), so
 * that it is they who close. A client that sends on a connection that is just being closed sees a reset.
 */
const KEEP_ALIVE_MILLIS = 75_000
/** After the server closes, answers have this long to be written; then their connections are closed. */
const DRAIN_MILLIS = 500

/** Listens with Node's HTTP server. To close it takes no longer than `DRAIN_MILLIS`, whatever clients do. */
export const layer = (options: {
  readonly host: string
  readonly port: number
  /** By default there is no limit. */
  readonly maxConnectionsPerAddress?: number
  /** Proxies that the limit does not hold for, because they connect for many clients. */
  readonly trustedProxies?: ReadonlyArray<string>
}) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const runtime = yield* Effect.runtime<Admission | Ids>()
      const server = new SequentialServer({
        requireHostHeader: false,
        keepAliveTimeout: KEEP_ALIVE_MILLIS,
        // Node counts from the first byte of a request: the time between two requests does not count.
        headersTimeout: HEADERS_MILLIS,
        // NodeRequestBody limits the time of a body.
        requestTimeout: 0,
        connectionsCheckingInterval: 1000,
      })
      // By default Node drops header lines beyond a limit, and those that a trusted proxy appends are the last.
      server.maxHeadersCount = 0
      closeSilentConnections(server)
      holdBackContinue(server)
      lingerForBodies(server)
      acceptUnusualRequests(server)
      closeUnreadAnswers(server)
      answerUnreadableRequests(server, Runtime.runFork(runtime))
      limitConnections(
        server,
        {
          perAddress: options.maxConnectionsPerAddress ?? Number.POSITIVE_INFINITY,
          inAll: connectionsOfProcess(),
          proxies: options.trustedProxies ?? [],
        },
        Runtime.runFork(runtime),
      )
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
