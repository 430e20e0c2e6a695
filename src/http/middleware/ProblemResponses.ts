import { type HttpServerRequest, HttpServerError, HttpServerResponse } from "@effect/platform"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { Cause, Effect } from "effect"
import { InvalidRequest } from "../../domain/Failure.ts"
import { Internal } from "../HttpFailure.ts"
import { type AnyFailure, isAnyFailure, problemHeaders, problemOf } from "../Problem.ts"
import { issueAt } from "../RequestBody.ts"
import { report, requestIdOf } from "../RequestContext.ts"
import { failWithoutRoute } from "./Methods.ts"

type Response = HttpServerResponse.HttpServerResponse

/** Answers with a problem where no handler did: errors of the framework, and defects. */
export const answerProblems =
  (request: HttpServerRequest.HttpServerRequest) =>
  (app: Effect.Effect<Response, unknown>): Effect.Effect<Response> =>
    Effect.catchAllCause(app, (cause) => {
      // The client has disconnected: no one reads an answer.
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      return Effect.flatMap(failureOfCause(cause, request), (failure) =>
        Effect.as(report(failure), toResponse(failure, request)),
      )
    })

const toResponse = (failure: AnyFailure, request: HttpServerRequest.HttpServerRequest): Response => {
  const problem = problemOf(failure, requestIdOf(request))
  return HttpServerResponse.unsafeJson(problem, { status: problem.status, headers: problemHeaders(failure) })
}

/** The contract's failure for a cause: `Internal`, with a log entry, if the cause is a defect. */
const failureOfCause = (
  cause: Cause.Cause<unknown>,
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<AnyFailure> => {
  const error = Cause.squash(cause)
  if (isAnyFailure(error) && !(error instanceof HttpServerError.RouteNotFound)) return Effect.succeed(error)
  if (error instanceof HttpServerError.RouteNotFound) return Effect.flip(failWithoutRoute(request.url))
  if (error instanceof HttpApiDecodeError) {
    return Effect.succeed(new InvalidRequest({ issues: error.issues.map(toIssue) }))
  }
  return Effect.as(Effect.logError("a defect", cause), new Internal())
}

const toIssue = ({ _tag, path, message }: HttpApiDecodeError["issues"][number]) =>
  issueAt(path, MESSAGES[_tag] ?? (quotesValue(message) ? "is not what is expected here" : message))

/** The framework's message for a wrong type quotes the value, which may be secret. */
const quotesValue = (message: string) => message.startsWith("Expected ")

const MESSAGES: Readonly<Partial<Record<string, string>>> = {
  Missing: "is missing",
  Unexpected: "is not a known field",
}
