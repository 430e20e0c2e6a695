import { HttpApi, type HttpMethod } from "@effect/platform"
import { FindMyWay } from "@effect/platform/HttpLayerRouter"
import { Effect } from "effect"
import { Api } from "../Api.ts"
import { MethodNotAllowed, RouteNotFound } from "../HttpFailure.ts"
import { EXACT_PATHS } from "../RequestTarget.ts"

const methodsByPath = new Map<string, Set<HttpMethod.HttpMethod>>()
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint }) => {
    const methods = methodsByPath.get(endpoint.path) ?? new Set()
    methodsByPath.set(endpoint.path, methods.add(endpoint.method))
  },
})

const paths = FindMyWay.make<ReadonlyArray<string>>(EXACT_PATHS)
paths.on("GET", "/", ["GET", "HEAD"])
for (const [path, methods] of methodsByPath) {
  paths.on("GET", path as `/${string}`, methods.has("GET") ? [...methods, "HEAD"] : [...methods])
}

/** The methods of the routes with that path. Fails if there is no such route. */
export const methodsOf = (url: string): Effect.Effect<ReadonlyArray<string>, RouteNotFound> => {
  const found = paths.find("GET", url)
  return found === undefined ? new RouteNotFound() : Effect.succeed(found.handler)
}

/** Fails with `RouteNotFound` if no route has that path, with `MethodNotAllowed` if one has it for other methods. */
export const failWithoutRoute = (url: string): Effect.Effect<never, RouteNotFound | MethodNotAllowed> =>
  Effect.flatMap(methodsOf(url), (allowed) => new MethodNotAllowed({ allowed }))
