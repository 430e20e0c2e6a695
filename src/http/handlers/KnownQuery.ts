import { HttpApi, HttpRouter, HttpServerRequest } from "@effect/platform"
import { Effect, Layer, Option, SchemaAST } from "effect"
import { InvalidRequest } from "../../domain/Failure.ts"
import { Api } from "../Api.ts"
import { KnownQuery } from "../groups/KnownQuery.ts"
import { issueAt } from "../RequestBody.ts"
import { orProblem } from "../RequestContext.ts"

/** The query parameters of each route, by method and path. */
const parameters = new Map<string, ReadonlySet<PropertyKey>>()
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint: { method, path, urlParamsSchema } }) => {
    const names = Option.match(urlParamsSchema, {
      onNone: () => [],
      onSome: ({ ast }) => SchemaAST.getPropertySignatures(ast).map(({ name }) => name),
    })
    parameters.set(`${method} ${path}`, new Set(names))
  },
})

export const KnownQueryLive = Layer.succeed(
  KnownQuery,
  Effect.gen(function* () {
    const { route } = yield* HttpRouter.RouteContext
    const known = parameters.get(`${route.method} ${route.path}`)
    const entries = Object.entries(yield* HttpServerRequest.ParsedSearchParams)
    const isTwice = ([name, value]: (typeof entries)[number]) =>
      known?.has(name) === true && Array.isArray(value)
    // The route's own schema finds the unknown ones together with bad values.
    if (known !== undefined && known.size > 0 && !entries.some(isTwice)) return
    const issues = entries.flatMap((entry) => {
      const [name] = entry
      if (known?.has(name) !== true) return [issueAt([name], "is not a known field")]
      return isTwice(entry) ? [issueAt([name], "is there twice")] : []
    })
    if (issues.length > 0) return yield* orProblem(new InvalidRequest({ issues }))
  }),
)
