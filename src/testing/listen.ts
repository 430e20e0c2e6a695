/**
 * A clawdforge in memory behind a real socket, for consumers in other processes. Apart from the rest of the stand-ins,
 * which need no Node.
 */
import { HttpServer } from "@effect/platform"
import { Effect, Layer, Logger } from "effect"
import * as NodeServer from "../infra/http/HttpServer.ts"
import * as NodeConnections from "../infra/http/NodeConnections.ts"
import * as NodeRequestBody from "../infra/http/NodeRequestBody.ts"
import { api, bodyLimits, type Fetch, Forge, type ForgeOptions, handles, partsOf, timeOf } from "./Forge.ts"
import { services } from "./forge/Services.ts"
import { type RunningForge, startedAs } from "./StartForge.ts"

export type { Forge, ForgeOptions, RunningForge }

const fetchFrom =
  (url: string): Fetch =>
  (input, init) =>
    fetch(typeof input === "string" && input.startsWith("/") ? `${url}${input}` : input, init)

/** As `forge`, but listening on a free port of 127.0.0.1: `url` says which. */
export const listeningForge = (options: ForgeOptions = {}) =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const parts = partsOf(options)
      const forge = Layer.effect(
        Forge,
        Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
          const url = HttpServer.formatAddress(address)
          return handles(parts, url, fetchFrom(url))
        }),
      )
      return forge.pipe(
        Layer.provideMerge(api(parts)),
        Layer.provide(NodeRequestBody.layer(bodyLimits(parts))),
        Layer.provide(NodeConnections.layer),
        Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 })),
        Layer.provideMerge(services(parts)),
        Layer.provide([timeOf(parts), Logger.remove(Logger.defaultLogger)]),
      )
    }),
  )

/** As `startForge`, but listening on a free port of 127.0.0.1: `url` says which. */
export const startListeningForge = (options: ForgeOptions = {}): Promise<RunningForge> =>
  startedAs(listeningForge(options))
