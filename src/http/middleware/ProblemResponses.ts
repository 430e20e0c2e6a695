import { type HttpServerRequest, HttpServerError, HttpServerResponse } from "@effect/platform"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { Cause, Effect } from "effect"
import { InvalidRequest } from "../../domain/Failure.ts"
import { Internal } from "../HttpFailure.ts"
import { type Failing, isFailing, problemHeaders, problemOf } from "../Problem.ts"
import { issueAt } from "../RequestBody.ts"
import { report, requestIdOf } from "../RequestContext.ts"
import { noRoute } from "./Methods.ts"

type Response = HttpServerResponse.HttpServerResponse

/** Answers with a problem what no handler has answered: the framework's refusals, and defects. */
export const answerProblems =
  (request: HttpServerRequest.HttpServerRequest) =>
  (app: Effect.Effect<Response, unknown>): Effect.Effect<Response> =>
    Effect.catchAllCause(app, (cause) => {
      // The client has gone: there is nobody to answer.
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      return Effect.flatMap(failureIn(cause, request), (failure) =>
        Effect.as(report(failure), toResponse(failure, request)),
      )
    })

const toResponse = (failure: Failing, request: HttpServerRequest.HttpServerRequest): Response => {
  const problem = problemOf(failure, requestIdOf(request))
  return HttpServerResponse.unsafeJson(problem, { status: problem.status, headers: problemHeaders(failure) })
}

/** What went wrong, as a failure of the contract. */
const failureIn = (
  cause: Cause.Cause<unknown>,
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<Failing> => {
  const error = Cause.squash(cause)
  if (isFailing(error) && !(error instanceof HttpServerError.RouteNotFound)) return Effect.succeed(error)
  if (error instanceof HttpServerError.RouteNotFound) return Effect.flip(noRoute(request.url))
  if (error instanceof HttpApiDecodeError) {
    return Effect.succeed(new InvalidRequest({ issues: error.issues.map(toIssue) }))
  }
  return Effect.as(Effect.logError("a defect", cause), new Internal())
}

const toIssue = ({ _tag, path, message }: HttpApiDecodeError["issues"][number]) =>
  issueAt(path, MESSAGES[_tag] ?? (quotes(message) ? "is not what is expected here" : message))

/** The framework's own words for a value of the wrong type end with that value. */
const quotes = (message: string) => message.startsWith("Expected ")

const MESSAGES: Readonly<Partial<Record<string, string>>> = {
  Missing: "is missing",
  Unexpected: "is not a known field",
}
