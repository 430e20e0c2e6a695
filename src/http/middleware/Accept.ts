import type { HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"
import Negotiator from "negotiator"
import { NotAcceptable } from "../HttpFailure.ts"

const OFFERED = ["application/json", "application/problem+json"]

/** Refuses a request whose `Accept` leaves out everything that we can answer with. Health is for everybody. */
export const checkAccept = (
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<void, NotAcceptable> => {
  const accept = request.headers["accept"]
  if (accept === undefined || accept.trim() === "" || accept === "*/*" || request.url.startsWith("/healthz"))
    return Effect.void
  return new Negotiator({ headers: { accept } }).mediaType(OFFERED) === undefined
    ? new NotAcceptable({ offered: OFFERED })
    : Effect.void
}
