import { HttpApi, type HttpServerRequest } from "@effect/platform"
import { FindMyWay } from "@effect/platform/HttpLayerRouter"
import { Context, Effect } from "effect"
import { Api } from "../Api.ts"
import { EVENT_STREAM } from "../sse/EventStream.ts"
import { Answers } from "../groups/Wire.ts"
import { NotAcceptable } from "../HttpFailure.ts"
import { preferred } from "../Preference.ts"
import { pathOf } from "../RequestContext.ts"

const JSON_FORMS = ["application/json", "application/problem+json"]
const OFFERED = { json: JSON_FORMS, events: [EVENT_STREAM], either: [...JSON_FORMS, EVENT_STREAM] }

/** Probes and a browser's page: they have one form each, and whoever asks gets it. */
const EXEMPT: ReadonlySet<string> = new Set(["/healthz", "/livez", "/readyz", "/docs"])

/** The routes that stream. */
const streaming = FindMyWay.make<"events" | "either">()
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint }) => {
    const answers = Context.get(endpoint.annotations, Answers)
    if (answers !== "json") streaming.on(endpoint.method, endpoint.path as `/${string}`, answers)
  },
})

/** Refuses a request whose `Accept` leaves out everything that its route can answer with. */
export const checkAccept = (
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<void, NotAcceptable> => {
  const accept = request.headers["accept"]
  if (accept === undefined || accept.trim() === "" || accept === "*/*" || EXEMPT.has(pathOf(request)))
    return Effect.void
  const method = request.method === "HEAD" ? "GET" : request.method
  const offered = OFFERED[streaming.find(method, request.url)?.handler ?? "json"]
  return preferred(accept, offered) === undefined ? new NotAcceptable({ offered }) : Effect.void
}
