import { openApiDocument } from "../../../src/http/OpenApiDocument.ts"

/** The routes to fuzz: whatever the OpenAPI document has, so that a new one is fuzzed by itself. */

export interface JsonSchema {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly examples?: ReadonlyArray<unknown>
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: ReadonlyArray<string>
  readonly items?: JsonSchema
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
}

export interface Route {
  readonly method: string
  /** As the document writes it: `/admin/tokens/{name}`. */
  readonly path: string
  readonly body: { readonly kind: "none" | "json" | "form"; readonly schema: JsonSchema }
  /** Whose token it takes. */
  readonly security: "app" | "admin" | "none"
  /** What it may answer, by status: the `code`s of its problems. */
  readonly answers: ReadonlyMap<number, ReadonlyArray<string>>
}

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { schema?: JsonSchema }>> }>
  >
  readonly security?: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const { components, paths } = openApiDocument as unknown as {
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** A schema with its references looked up; what stands beside a reference narrows it. */
const resolved = ({ $ref, ...own }: JsonSchema): JsonSchema => {
  const { properties, items, anyOf, ...rest } = {
    ...($ref === undefined ? {} : components.schemas[$ref.split("/").at(-1) ?? ""]),
    ...own,
  }
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, schema]) => [name, resolved(schema)]),
          ),
        }),
    ...(items === undefined ? {} : { items: resolved(items) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map(resolved) }),
  }
}

const bodyOf = ({ requestBody }: Operation): Route["body"] => {
  const [type, content] = Object.entries(requestBody?.content ?? {})[0] ?? []
  if (type === undefined || content === undefined) return { kind: "none", schema: {} }
  return { kind: type.startsWith("multipart/") ? "form" : "json", schema: resolved(content.schema) }
}

const codesOf = (schema: JsonSchema | undefined): ReadonlyArray<string> =>
  (schema?.anyOf ?? [schema ?? {}]).flatMap(
    (member) => (resolved(member).properties?.["code"]?.enum ?? []) as ReadonlyArray<string>,
  )

export const routes: ReadonlyArray<Route> = Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations).map(([method, operation]) => ({
    method: method.toUpperCase(),
    path,
    body: bodyOf(operation),
    security: (Object.keys(operation.security?.[0] ?? {})[0] ?? "none") as Route["security"],
    answers: new Map(
      Object.entries(operation.responses).map(([status, { content }]) => [
        Number(status),
        codesOf(Object.values(content ?? {})[0]?.schema),
      ]),
    ),
  })),
)

/** The path of a target, as it is written: no other spelling names a route. */
const pathIn = (target: string): string => target.replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0] ?? ""

/** The route that a request asks for, if any. */
export const routeOf = (method: string, target: string): Route | undefined =>
  routes.find(
    (route) =>
      (route.method === method || (method === "HEAD" && route.method === "GET")) &&
      new RegExp(`^${route.path.replace(/\{\w+\}/g, "[^/;#]+")}$`).test(pathIn(target)),
  )
