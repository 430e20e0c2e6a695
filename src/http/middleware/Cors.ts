import { type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import type { RouteNotFound } from "../HttpFailure.ts"
import { methodsOf } from "./Methods.ts"

type Response = HttpServerResponse.HttpServerResponse

/** How long a browser may remember the answer to a preflight. */
const PREFLIGHT_SECS = 600

/** The headers of answers that a page may read, beside the few that it may always read. */
const EXPOSED = "X-Request-Id, X-Run-Id, Retry-After, Idempotent-Replayed, Allow"

/** Lets pages of that origin read the answer. Never with credentials: the service knows no cookies. */
export const withCors = (response: Response, origin: string): Response =>
  HttpServerResponse.setHeaders(response, {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": EXPOSED,
    vary: "Origin",
  })

/** Whether a browser asks if a page of another origin may send a request. */
export const isPreflight = ({ method, headers }: HttpServerRequest.HttpServerRequest): boolean =>
  method === "OPTIONS" && headers["access-control-request-method"] !== undefined

/** Answers a preflight of an origin that may use the service. */
export const answerPreflight = ({
  url,
  headers,
}: HttpServerRequest.HttpServerRequest): Effect.Effect<Response, RouteNotFound> =>
  Effect.map(methodsOf(url), (methods) => {
    const wanted = headers["access-control-request-headers"]
    return HttpServerResponse.empty({
      status: 204,
      headers: {
        "access-control-allow-methods": methods.join(", "),
        // What the page wants to send: its origin is trusted, and headers that the service does not know do nothing.
        ...(wanted === undefined ? {} : { "access-control-allow-headers": wanted }),
        "access-control-max-age": String(PREFLIGHT_SECS),
      },
    })
  })
