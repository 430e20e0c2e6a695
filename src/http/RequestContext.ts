import { HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Cause, Context, Effect } from "effect"
import type { Origin } from "../domain/Origin.ts"
import { type AnyFailure, type Problem, problemHeaders, problemOf } from "./Problem.ts"

/** More fields for the request's log line. Handlers add them with `note`. Never a prompt or a token. */
export class RequestFacts extends Context.Reference<RequestFacts>()("clawdforge/http/RequestFacts", {
  defaultValue: () => new Map<string, string>(),
}) {}

/** Adds a field to the request's log line. */
export const note = (fact: string, value: string): Effect.Effect<void> =>
  Effect.map(RequestFacts, (facts) => void facts.set(fact, value))

/** The request's id. `Edge` puts it into the headers of every request. */
export const requestIdOf = (request: HttpServerRequest.HttpServerRequest): string =>
  request.headers["x-request-id"] ?? ""

/** The request's path as the client sent it, without the query. */
export const pathOf = (request: HttpServerRequest.HttpServerRequest): string =>
  request.url.split("?", 1)[0] ?? ""

export const originOf = (request: HttpServerRequest.HttpServerRequest): Origin => ({
  requestId: requestIdOf(request),
  address: request.remoteAddress._tag === "Some" ? request.remoteAddress.value : "",
})

/** Adds headers to the response of the current request. */
export const setHeaders = (headers: Readonly<Record<string, string>>): Effect.Effect<void> =>
  HttpApp.appendPreResponseHandler((_, response) =>
    Effect.succeed(HttpServerResponse.setHeaders(response, headers)),
  )

/** Turns a failure of a service into the problem that the route declares; sets the problem's headers, and logs it. */
export const orProblem = <A, F extends AnyFailure, R>(
  effect: Effect.Effect<A, F, R>,
): Effect.Effect<A, Problem<F["_tag"]>, R | HttpServerRequest.HttpServerRequest> =>
  Effect.catchAll(effect, (failure) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      yield* report(failure)
      yield* setHeaders(problemHeaders(failure))
      return yield* Effect.fail(problemOf(failure, requestIdOf(request)))
    }),
  )

/** Adds the failure's code to the log line. Logs the cause of a `StorageFailed`, which the client does not see. */
export const report = (failure: AnyFailure): Effect.Effect<void> =>
  Effect.zipRight(
    note("code", failure.code),
    failure._tag === "StorageFailed"
      ? Effect.logError(`storage failed while ${failure.during}`, Cause.die(failure.cause))
      : Effect.void,
  )
