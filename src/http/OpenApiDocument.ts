import { OpenApi } from "@effect/platform"
import { Api } from "./Api.ts"

interface Response {
  readonly content?: Readonly<Record<string, unknown>>
}

/** A status that several problems share loses their media type on its way through the framework. */
const asProblem = ({ content, ...rest }: Response): Response =>
  content === undefined
    ? rest
    : { ...rest, content: { "application/problem+json": Object.values(content)[0] } }

/** `$id`s of the framework's ("/schemas/unknown") repeat, which no document may. */
const withoutIds = (node: unknown): unknown => {
  if (Array.isArray(node)) return node.map(withoutIds)
  if (typeof node !== "object" || node === null) return node
  return Object.fromEntries(
    Object.entries(node)
      .filter(([key, value]) => !(key === "$id" && typeof value === "string"))
      .map(([key, value]) => [key, withoutIds(value)]),
  )
}

const methods = (
  operations: Readonly<Record<string, { readonly responses: Readonly<Record<string, Response>> }>>,
) =>
  Object.fromEntries(
    Object.entries(operations).map(([method, operation]) => {
      const responses = Object.entries(operation.responses).map(([status, response]) => [
        status,
        Number(status) < 400 ? response : asProblem(response),
      ])
      return [method, { ...operation, responses: Object.fromEntries(responses) }]
    }),
  )

/** This API as OpenAPI 3.1. */
export const openApiDocument = (() => {
  const { paths, ...rest } = OpenApi.fromApi(Api)
  const repaired = Object.entries(paths).map(([path, operations]) => [path, methods(operations as never)])
  return withoutIds({ ...rest, paths: Object.fromEntries(repaired) }) as OpenApi.OpenAPISpec
})()
