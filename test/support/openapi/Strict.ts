import { Validator } from "@seriousme/openapi-schema-validator"
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js"
import {
  type Document,
  nodesOf,
  type Operation,
  operationsOf,
  resolve,
} from "../../../scripts/openapi/Document.ts"

const validator = new Validator()

/** What a strict reader of the document has against it: a line each. The first check is the specification's own schema. */
export const objectionsTo = async (document: Document): Promise<ReadonlyArray<string>> => {
  const { valid, errors } = await validator.validate(structuredClone(document))
  if (!valid) return [`not OpenAPI: ${JSON.stringify(errors)}`]
  const wrong = schemasThatAreNone(document)
  if (wrong.length > 0) return wrong
  const operations = operationsOf(document)
  return [
    ...danglingReferences(document),
    ...repeated(operations.map(({ operation }) => operation.operationId)).map(
      (id) => `operationId ${id} is there more than once`,
    ),
    ...examplesThatDoNotFit(document),
    ...unused(document),
    ...emptyObjects(document),
    ...operations.flatMap((operation) => ofOperation(document, operation)),
  ]
}

const repeated = (names: ReadonlyArray<string>) =>
  [...new Set(names)].filter((name) => names.indexOf(name) !== names.lastIndexOf(name))

const danglingReferences = (document: Document) =>
  nodesOf(document)
    .filter(([, { $ref }]) => typeof $ref === "string" && resolve(document, $ref) === undefined)
    .map(([where, { $ref }]) => `${where}: ${$ref} names nothing`)

/** Of an object that says nothing of its fields, a generator makes one that has none. */
const emptyObjects = (document: Document) =>
  nodesOf(document)
    .filter(([, { type, properties, additionalProperties }]) => {
      const says = Object.keys(properties ?? {}).length > 0 || additionalProperties !== undefined
      return type === "object" && !says
    })
    .map(([where]) => `${where}: is an object without fields`)

/** What no route says is not of this API. */
const unused = (document: Document) => {
  const referred = new Set(nodesOf(document).map(([, { $ref }]) => $ref))
  return ["schemas", "headers"].flatMap((kind) =>
    Object.keys(document.components[kind])
      .filter((name) => !referred.has(`#/components/${kind}/${name}`))
      .map((name) => `${kind} ${name} is not used`),
  )
}

/** To OpenAPI's own schema, anything is a JSON Schema. */
const schemasThatAreNone = (document: Document) => {
  const ajv = new Ajv2020()
  return nodesOf(document)
    .filter(([where]) => /^#\/components\/schemas\/[^/]+$|\/schema$/.test(where))
    .flatMap(([where, schema]) =>
      ajv.validateSchema(schema) === true ? [] : [`${where}: is no JSON Schema: ${words(ajv.errors)}`],
    )
}

const examplesThatDoNotFit = (document: Document) => {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true })
  ajv.addFormat("binary", true)
  // OpenAPI's own parts of the document, in which its schemas lie.
  for (const part of ["openapi", "info", "servers", "security", "tags", "paths", "components"])
    ajv.addKeyword(part)
  ajv.addSchema(document, "document")
  return nodesOf(document)
    .filter(([, { examples }]) => Array.isArray(examples))
    .flatMap(([where, { examples }]) => {
      const fits = ajv.compile({ $ref: `document${encodeURI(where)}` })
      return examples
        .filter((example: unknown) => !fits(example))
        .map((example: unknown) => `${where}: ${JSON.stringify(example)} does not fit: ${words(fits.errors)}`)
    })
}

const words = (errors: ReadonlyArray<ErrorObject> | null | undefined) =>
  (errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`).join(", ")

const PROBLEM = "application/problem+json"

const ofOperation = (document: Document, { name, path, operation }: Operation): ReadonlyArray<string> => {
  const { operationId, summary, tags, parameters, security, requestBody, responses } = operation
  const declared: ReadonlyArray<any> = parameters ?? []
  const inPath = (path.match(/\{[^}]+\}/g) ?? []).map((part) => part.slice(1, -1)).toSorted()
  const pathParameters = declared.filter((parameter) => parameter.in === "path")
  const objects = [
    [typeof operationId === "string", "has no operationId"],
    [typeof summary === "string" && summary !== "", "has no summary"],
    [Array.isArray(tags) && tags.length > 0, "has no tag"],
    [
      (tags ?? []).every((tag: string) => document.tags.some((known: any) => known.name === tag)),
      "has a strange tag",
    ],
    [Array.isArray(security), "does not say who may use it"],
    [
      (security ?? []).every((one: object) =>
        Object.keys(one).every((scheme) => scheme in document.components.securitySchemes),
      ),
      "wants a token that nothing describes",
    ],
    [
      same(inPath, pathParameters.map((parameter) => parameter.name).toSorted()),
      "declares other path parameters",
    ],
    [pathParameters.every(({ required }) => required === true), "has a path parameter that is not required"],
    [
      repeated(declared.map((parameter) => `${parameter.in} ${parameter.name}`)).length === 0,
      "repeats a parameter",
    ],
    [
      declared.every(({ description }) => typeof description === "string"),
      "has a parameter without a description",
    ],
    [requestBody === undefined || requestBody.required === true, "has a body that may be left out"],
    [(security ?? []).length === 0 || "401" in responses, "has no 401"],
    ["200" in responses, "has no 200"],
    ...Object.entries<any>(responses).flatMap(([status, response]) =>
      ofResponse(document, status, response).map((objection) => [false, objection] as const),
    ),
    ...ofForm(requestBody?.content?.["multipart/form-data"]?.schema).map(
      (objection) => [false, objection] as const,
    ),
  ] as const
  return objects.filter(([holds]) => !holds).map(([, objection]) => `${name} ${objection}`)
}

const same = (left: ReadonlyArray<string>, right: ReadonlyArray<string>) => left.join() === right.join()

const ofResponse = (document: Document, status: string, { headers, content }: any): ReadonlyArray<string> => {
  const problems = content?.[PROBLEM]?.schema
  const members: ReadonlyArray<any> = problems?.anyOf ?? (problems === undefined ? [] : [problems])
  const isProblem = ({ $ref }: any) => {
    const properties = (resolve(document, $ref ?? "#") as any)?.properties
    return properties?.code?.enum?.length === 1 && String(properties.status?.enum) === status
  }
  const codes = members.map(({ $ref }) => $ref)
  const isText = same(Object.keys(content ?? {}), ["text/plain"])
  return [
    ...(headers?.["X-Request-Id"] === undefined ? [`${status}: has no X-Request-Id`] : []),
    ...(Number(status) >= 400 && !isText && !same(Object.keys(content ?? {}), [PROBLEM])
      ? [`${status}: is no ${PROBLEM}`]
      : []),
    ...(members.every(isProblem) ? [] : [`${status}: is a problem without a code, or of another status`]),
    ...(repeated(codes).length === 0 ? [] : [`${status}: repeats a problem`]),
    ...(Number(status) < 400 && problems !== undefined ? [`${status}: is a problem`] : []),
  ]
}

const isFile = ({ type, format }: any) => type === "string" && format === "binary"

/** Of a form, every file is one string of bytes: what generators make a file of. */
const ofForm = (schema: any): ReadonlyArray<string> => {
  if (schema === undefined) return []
  const fields = Object.values<any>(schema.properties ?? {})
  return [
    ...(fields.some(isFile) ? [] : ["has a form without a file"]),
    ...(fields.every((field) => isFile(field) || ["string", "integer", "boolean"].includes(field.type))
      ? []
      : ["has a form with a field that no form has"]),
  ]
}
