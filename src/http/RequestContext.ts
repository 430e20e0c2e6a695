import { HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Cause, Context, Effect } from "effect"
import type { Origin } from "../domain/Token.ts"
import { type Failing, type Problem, problemHeaders, problemOf } from "./Problem.ts"

/** What the request's line in the log will say beside the usual: filled in on the way. Never a prompt or a token. */
export class RequestFacts extends Context.Reference<RequestFacts>()("clawdforge/http/RequestFacts", {
  defaultValue: () => new Map<string, string>(),
}) {}

export const note = (fact: string, value: string): Effect.Effect<void> =>
  Effect.map(RequestFacts, (facts) => void facts.set(fact, value))

/** The request's id; the edge has put one into every request's headers. */
export const requestIdOf = (request: HttpServerRequest.HttpServerRequest): string =>
  request.headers["x-request-id"] ?? ""

/** The path as it was asked for, without its query. */
export const pathOf = (request: HttpServerRequest.HttpServerRequest): string =>
  request.url.split(/[?#]/, 1)[0] ?? ""

export const originOf = (request: HttpServerRequest.HttpServerRequest): Origin => ({
  requestId: requestIdOf(request),
  address: request.remoteAddress._tag === "Some" ? request.remoteAddress.value : "",
})

export const setHeaders = (headers: Readonly<Record<string, string>>): Effect.Effect<void> =>
  HttpApp.appendPreResponseHandler((_, response) =>
    Effect.succeed(HttpServerResponse.setHeaders(response, headers)),
  )

/** Turns a service's failure into the problem that the route declares. */
export const orProblem = <A, F extends Failing, R>(
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

/** Says in the log what a client is not told. */
export const report = (failure: Failing): Effect.Effect<void> =>
  Effect.zipRight(
    note("code", failure.code),
    failure._tag === "StorageFailed"
      ? Effect.logError(`storage failed while ${failure.during}`, Cause.die(failure.cause))
      : Effect.void,
  )
