/**
 * A clawdforge in memory behind a real socket, for clients in other processes. It is an entry of its own because it
 * needs Node. The other stand-ins do not.
 */
import { HttpServer } from "@effect/platform"
import { Effect, Layer, Logger } from "effect"
import { bodyLimits } from "../http/Server.ts"
import * as NodeServer from "../infra/http/HttpServer.ts"
import * as NodeConnections from "../infra/http/NodeConnections.ts"
import * as NodeRequestBody from "../infra/http/NodeRequestBody.ts"
import {
  apiLayer,
  clockLayer,
  type Fetch,
  Forge,
  type ForgeOptions,
  makeForge,
  resolveOptions,
} from "./Forge.ts"
import { services } from "./forge/Services.ts"
import { type RunningForge, startLayer } from "./StartForge.ts"

export type { Forge, ForgeOptions, RunningForge }

/** Like the global `fetch`, but also takes a bare path. */
const fetchFrom =
  (url: string): Fetch =>
  (input, init) =>
    fetch(typeof input === "string" && input.startsWith("/") ? `${url}${input}` : input, init)

/** Like `forge`, but it listens on a free port of 127.0.0.1. `url` has the port. */
export const listeningForge = (options: ForgeOptions = {}) =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const parts = resolveOptions(options)
      const forge = Layer.effect(
        Forge,
        Effect.flatMap(HttpServer.HttpServer, ({ address }) => {
          const url = HttpServer.formatAddress(address)
          return makeForge(parts, url, fetchFrom(url))
        }),
      )
      return forge.pipe(
        Layer.provideMerge(apiLayer(parts)),
        Layer.provide(NodeRequestBody.layer(bodyLimits(parts.settings))),
        Layer.provide(NodeConnections.layer),
        Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 })),
        Layer.provideMerge(services(parts)),
        Layer.provide([clockLayer(parts), Logger.remove(Logger.defaultLogger)]),
      )
    }),
  )

/** Like `startForge`, but it listens on a free port of 127.0.0.1. `url` has the port. */
export const startListeningForge = (options: ForgeOptions = {}): Promise<RunningForge> =>
  startLayer(listeningForge(options))
