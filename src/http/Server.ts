import { HttpLayerRouter } from "@effect/platform"
import { Effect, Layer } from "effect"
import { RunEngine } from "../services/runs/RunEngine.ts"
import { Api } from "./Api.ts"
import { AdminHandlers } from "./handlers/Admin.ts"
import { AdminAuthLive, AppAuthLive, ReaderAuthLive } from "./handlers/Auth.ts"
import { EventsHandlers } from "./handlers/Events.ts"
import { FilesHandlers } from "./handlers/Files.ts"
import { KnownQueryLive } from "./handlers/KnownQuery.ts"
import { MaintenanceHandlers } from "./handlers/Maintenance.ts"
import { type RunDefaults, RunHandlers } from "./handlers/Run.ts"
import { RunsHandlers } from "./handlers/Runs.ts"
import { SessionsHandlers } from "./handlers/Sessions.ts"
import { StreamsHandlers } from "./handlers/Streams.ts"
import { SystemHandlers } from "./handlers/System.ts"
import { Edge } from "./middleware/Edge.ts"
import { EXACT_PATHS } from "./RequestTarget.ts"
import { RootRoute } from "./RootRoute.ts"
import { OpenStreams, type OpenStreamsOptions } from "./sse/OpenStreams.ts"

/**
 * When the service stops: ends the runs, then the streams, while the server still takes requests. A client that waits
 * for a run gets its answer, and a new request gets a 503. Layers close in the reverse order of their building, so this
 * layer is built after the server.
 */
const EndRuns = Layer.scopedDiscard(
  Effect.flatMap(Effect.all([RunEngine, OpenStreams]), ([engine, streams]) =>
    Effect.addFinalizer(() => Effect.zipRight(engine.shutdown, streams.shutdown)),
  ),
)

/** The limit for what a multipart form adds to its file: boundaries, headers and other fields. */
const FORM_OVERHEAD_LIMIT_BYTES = 1024 * 1024

/** Returns the largest bodies that requests can have, in bytes. */
export const bodyLimits = (settings: { readonly maxBodyBytes: number; readonly maxUploadBytes: number }) => ({
  json: settings.maxBodyBytes,
  form: settings.maxUploadBytes + FORM_OVERHEAD_LIMIT_BYTES,
})

/** The API and everything that every request passes through, served on the `HttpServer` of the environment. */
export const serve = (defaults: RunDefaults, streams: OpenStreamsOptions = {}) => {
  const routes = Layer.mergeAll(HttpLayerRouter.addHttpApi(Api), RootRoute, Edge).pipe(
    Layer.provide([
      RunHandlers(defaults),
      RunsHandlers,
      FilesHandlers,
      SessionsHandlers(defaults),
      EventsHandlers,
      MaintenanceHandlers,
      StreamsHandlers,
      AdminHandlers,
      SystemHandlers,
    ]),
    Layer.provide([AppAuthLive, AdminAuthLive, ReaderAuthLive, KnownQueryLive]),
  )
  return EndRuns.pipe(
    Layer.provideMerge(
      HttpLayerRouter.serve(routes, {
        disableLogger: true,
        disableListenLog: true,
        routerConfig: EXACT_PATHS,
      }),
    ),
    Layer.provideMerge(OpenStreams.layer(streams)),
  )
}
