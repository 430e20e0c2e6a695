import { HttpApi, type HttpServerRequest } from "@effect/platform"
import { FindMyWay } from "@effect/platform/HttpLayerRouter"
import { Context, Effect } from "effect"
import { Api } from "../Api.ts"
import { EVENT_STREAM } from "../sse/EventStream.ts"
import { Answers } from "../groups/Wire.ts"
import { NotAcceptable } from "../HttpFailure.ts"
import { preferredMediaType } from "../PreferredMediaType.ts"
import { pathOf } from "../RequestContext.ts"
import { EXACT_PATHS } from "../RequestTarget.ts"

const JSON_FORMS = ["application/json", "application/problem+json"]
const OFFERED = { json: JSON_FORMS, events: [EVENT_STREAM], either: [...JSON_FORMS, EVENT_STREAM] }

/** Probes and pages: they have one form each and send it whatever `Accept` says. */
const EXEMPT: ReadonlySet<string> = new Set(["/", "/healthz", "/livez", "/readyz", "/docs"])

/** The routes that stream, by method and path. */
const streamRoutes = FindMyWay.make<"events" | "either">(EXACT_PATHS)
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint }) => {
    const answers = Context.get(endpoint.annotations, Answers)
    if (answers !== "json") streamRoutes.on(endpoint.method, endpoint.path as `/${string}`, answers)
  },
})

/** Fails with `NotAcceptable` if the request's `Accept` allows no media type of its route. */
export const checkAccept = (
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<void, NotAcceptable> => {
  const accept = request.headers["accept"]
  if (accept === undefined || accept.trim() === "" || accept === "*/*" || EXEMPT.has(pathOf(request)))
    return Effect.void
  const method = request.method === "HEAD" ? "GET" : request.method
  const offered = OFFERED[streamRoutes.find(method, request.url)?.handler ?? "json"]
  return preferredMediaType(accept, offered) === undefined ? new NotAcceptable({ offered }) : Effect.void
}
