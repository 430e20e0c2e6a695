import type { HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"
import Negotiator from "negotiator"
import { NotAcceptable } from "../HttpFailure.ts"
import { pathOf } from "../RequestContext.ts"

const OFFERED = ["application/json", "application/problem+json"]

/** Probes and a browser's page: they have one form each, and whoever asks gets it. */
const EXEMPT: ReadonlySet<string> = new Set(["/healthz", "/livez", "/readyz", "/docs"])

/** Refuses a request whose `Accept` leaves out everything that we can answer with. */
export const checkAccept = (
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<void, NotAcceptable> => {
  const accept = request.headers["accept"]
  if (accept === undefined || accept.trim() === "" || accept === "*/*" || EXEMPT.has(pathOf(request)))
    return Effect.void
  return new Negotiator({ headers: { accept } }).mediaType(OFFERED) === undefined
    ? new NotAcceptable({ offered: OFFERED })
    : Effect.void
}
