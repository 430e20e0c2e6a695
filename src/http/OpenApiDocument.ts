import { OpenApi } from "@effect/platform"
import { Api } from "./Api.ts"
import { introduction } from "./Introduction.ts"
import { MEDIA_TYPE } from "./Problem.ts"

/** Corrects what the framework writes into every document and what no annotation of a route can change. */

type Node = Readonly<Record<string, unknown>>

interface Response {
  readonly headers?: Node
  readonly content?: Readonly<Record<string, unknown>>
}

interface Operation {
  readonly operationId: string
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly in: string; readonly schema: Node }>
  readonly requestBody?: unknown
  readonly responses: Readonly<Record<string, Response>>
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

/** Keys whose values are data, not schemas: the walk does not change them. */
const DATA_KEYS: ReadonlySet<string> = new Set(["info", "examples", "enum"])

/** Applies a change to every object, from the leaves up. */
const mapNodes = (change: (node: Node) => Node) => {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (!isNode(value)) return value
    return change(
      Object.fromEntries(
        Object.entries(value).map(([key, inner]) => [key, DATA_KEYS.has(key) ? inner : walk(inner)]),
      ),
    )
  }
  return walk
}

const INT = "#/components/schemas/Int"

/**
 * Removes three things of the framework. Its `$id`s ("/schemas/unknown") repeat, which a document must not do. Its titles
 * ("int", "maxItems(100)") become type names in a generated client. A reference to "Int" with bounds beside it loses the
 * bounds in a generated client, so it becomes a plain integer.
 */
const withoutFrameworkNames = mapNodes((node) =>
  Object.fromEntries(
    Object.entries(node)
      .filter(([key, value]) => !((key === "$id" || key === "title") && typeof value === "string"))
      .map(([key, value]) => (key === "$ref" && value === INT ? ["type", "integer"] : [key, value])),
  ),
)

/** Lets answers have unknown fields: later versions may add some, and clients must not refuse them. */
const allowUnknownFields = mapNodes((node) =>
  Object.fromEntries(
    Object.entries(node).filter(([key, value]) => !(key === "additionalProperties" && value === false)),
  ),
)

const header = (name: string) => ({ $ref: `#/components/headers/${name}` })

const HEADERS = {
  "X-Request-Id": {
    description: "The request's id: the client's own, or a fresh one.",
    required: true,
    schema: { type: "string", examples: ["01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC"] },
  },
  "X-Run-Id": {
    description: "The id of the run, or of the turn.",
    schema: { type: "string", examples: ["01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC"] },
  },
  "Retry-After": {
    description: "Seconds after which to ask again.",
    schema: { type: "integer", minimum: 0, examples: [5] },
  },
  "Idempotent-Replayed": {
    description: "There when it is the answer of an earlier request with the same `Idempotency-Key`.",
    schema: { type: "string", enum: ["true"] },
  },
}

const RETRY_AFTER_STATUSES: ReadonlySet<string> = new Set(["429", "503"])

const headersOf = ({ parameters, responses }: Operation, status: string) => {
  const content = responses[status]?.content ?? {}
  const isAnswer = Number(status) < 400
  return {
    "X-Request-Id": header("X-Request-Id"),
    ...(isAnswer && "application/json" in content && "text/event-stream" in content
      ? { "X-Run-Id": header("X-Run-Id") }
      : {}),
    ...(isAnswer && parameters.some(({ name }) => name === "idempotency-key")
      ? { "Idempotent-Replayed": header("Idempotent-Replayed") }
      : {}),
    ...(RETRY_AFTER_STATUSES.has(status) && !("text/plain" in content)
      ? { "Retry-After": header("Retry-After") }
      : {}),
  }
}

/** Restores the problems' media type: the framework drops it from a status that several problems share. */
const contentOf = (status: string, content: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(content).map(([type, media]) => [
      Number(status) >= 400 && type === "application/json" ? MEDIA_TYPE : type,
      media,
    ]),
  )

const responsesOf = (operation: Operation) =>
  Object.entries(operation.responses).map(([status, { content, ...response }]) => [
    status,
    {
      ...response,
      headers: headersOf(operation, status),
      ...(content === undefined ? {} : { content: contentOf(status, content) }),
    },
  ])

/** Removes the example of a header: the page at /docs would send it with every request that is tried. */
const withoutHeaderExample = ({ schema, ...parameter }: Operation["parameters"][number]) => ({
  ...parameter,
  schema:
    parameter.in === "header"
      ? Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "examples"))
      : schema,
})

const byMethod = (operations: Readonly<Record<string, Operation>>) =>
  Object.fromEntries(
    Object.entries(operations).map(([method, operation]) => [
      method,
      {
        ...operation,
        // The framework writes `sessions.takeTurn`; generators make a name of it, and a dot is none.
        operationId: operation.operationId.split(".").at(-1),
        parameters: operation.parameters.map(withoutHeaderExample),
        responses: allowUnknownFields(Object.fromEntries(responsesOf(operation))),
      },
    ]),
  )

/** This API as OpenAPI 3.1. */
export const openApiDocument = (() => {
  const { paths, components, ...rest } = withoutFrameworkNames(
    OpenApi.fromApi(Api),
  ) as unknown as OpenApi.OpenAPISpec
  const requestBodies = JSON.stringify(
    Object.values(paths)
      .flatMap(Object.values)
      .map(({ requestBody }) => requestBody),
  )
  const schemas = Object.entries(components.schemas)
    .filter(([name]) => name !== "Int")
    .map(([name, schema]) => [
      name,
      requestBodies.includes(`schemas/${name}"`) ? schema : allowUnknownFields(schema),
    ])
  return {
    ...rest,
    info: { ...rest.info, description: introduction },
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, operations]) => [path, byMethod(operations as never)]),
    ),
    components: { ...components, schemas: Object.fromEntries(schemas), headers: HEADERS },
  } as unknown as OpenApi.OpenAPISpec
})()
