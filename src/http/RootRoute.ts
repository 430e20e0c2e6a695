import { HttpLayerRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import { InvalidRequest } from "../domain/Failure.ts"
import { issueAt } from "./RequestBody.ts"

/** Leads a browser from `/` to the docs. It is no part of the API: programs have no use for it. */
export const RootRoute = HttpLayerRouter.add(
  "GET",
  "/",
  Effect.flatMap(HttpServerRequest.ParsedSearchParams, (params) => {
    const issues = Object.keys(params).map((name) => issueAt([name], "is not a known field"))
    return issues.length > 0
      ? new InvalidRequest({ issues })
      : Effect.succeed(HttpServerResponse.redirect("/docs", { status: 302 }))
    // The edge turns the failure into a problem.
  }) as Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.ParsedSearchParams>,
)
