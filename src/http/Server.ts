import { HttpLayerRouter } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Runs } from "../services/Runs.ts"
import { Api } from "./Api.ts"
import { AdminHandlers } from "./handlers/Admin.ts"
import { AdminAuthLive, AppAuthLive } from "./handlers/Auth.ts"
import { type RunDefaults, RunHandlers } from "./handlers/Run.ts"
import { SystemHandlers } from "./handlers/System.ts"
import { Edge } from "./middleware/Edge.ts"

/** Work ends before the connections that wait for it do, so that each still gets its answer. */
const EndRunsFirst = Layer.scopedDiscard(
  Effect.flatMap(Runs, (runs) => Effect.addFinalizer(() => runs.shutdown)),
)

/** The API, served on whatever HttpServer is provided. */
export const serve = (defaults: RunDefaults) =>
  HttpLayerRouter.serve(
    Layer.mergeAll(HttpLayerRouter.addHttpApi(Api), Edge, EndRunsFirst).pipe(
      Layer.provide([RunHandlers(defaults), AdminHandlers, SystemHandlers]),
      Layer.provide([AppAuthLive, AdminAuthLive]),
    ),
    { disableLogger: true, disableListenLog: true },
  )
