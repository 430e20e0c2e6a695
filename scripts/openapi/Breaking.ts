import { isDeepStrictEqual } from "node:util"
import { type Document, operationsOf, resolve } from "./Document.ts"
import { misfits, type SchemaInDocument } from "./Schemas.ts"

/** A change that breaks clients of the base document. */
export interface Breaking {
  /** The operation, in the changelog's form: `POST /run`. */
  readonly operation: string
  readonly what: string
}

/** The `operation` of a change that affects all operations. */
export const EVERY_ROUTE = "every route"

/** The changes from the base document to the next one that break clients of the base. */
export const breakingChanges = (base: Document, next: Document): ReadonlyArray<Breaking> => {
  const now = new Map(operationsOf(next).map(({ name, operation }) => [name, operation]))
  return [
    ...(isDeepStrictEqual(urlsOf(base), urlsOf(next))
      ? []
      : [{ operation: EVERY_ROUTE, what: "is served from another place" }]),
    ...operationsOf(base).flatMap(({ name, operation }) => {
      const changes = now.has(name) ? operationChanges(base, operation, next, now.get(name)) : ["is gone"]
      return [...new Set(changes)].map((what) => ({ operation: name, what }))
    }),
  ]
}

const urlsOf = ({ servers }: Document) => (servers ?? [{ url: "/" }]).map(({ url }: any) => url)

const operationChanges = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => [
  ...(before.operationId === after.operationId ? [] : [`operationId ${before.operationId} is gone`]),
  ...securityChanges(base, before, next, after),
  ...parametersChanges(base, before, next, after),
  ...requestChanges(base, before, next, after),
  ...responsesChanges(base, before, next, after),
]

/** The alternatives of an operation's security: each is a set of schemes that are needed together. */
const securityOf = (document: Document, { security }: any): ReadonlyArray<Record<string, unknown>> => {
  const declared = security ?? document.security ?? []
  return declared.length === 0 ? [{}] : declared
}

const securityChanges = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => {
  const isSame = (scheme: string) => {
    const [{ description: _, ...was }, { description: __, ...is }] = [base, next].map(
      ({ components }) => components.securitySchemes[scheme] ?? {},
    ) as [any, any]
    return isDeepStrictEqual(was, is)
  }
  return securityOf(base, before)
    .filter(
      (was) =>
        !securityOf(next, after).some((is) =>
          Object.keys(is).every((scheme) => scheme in was && isSame(scheme)),
        ),
    )
    .map((was) => `no longer lets in ${Object.keys(was).join(" with ") || "everybody"}`)
}

const keyOf = ({ in: place, name }: any) =>
  `${place} parameter ${place === "header" ? name.toLowerCase() : name}`
const byKey = ({ parameters }: any): ReadonlyMap<string, any> =>
  new Map((parameters ?? []).map((parameter: any) => [keyOf(parameter), parameter]))

const parametersChanges = (
  base: Document,
  before: any,
  next: Document,
  after: any,
): ReadonlyArray<string> => {
  const [were, are] = [byKey(before), byKey(after)]
  const isNewlyRequired = ([key, { required }]: [string, any]) =>
    required === true && were.get(key)?.required !== true
  return [
    ...[...are].filter(isNewlyRequired).map(([key]) => `${key} is required`),
    ...[...were].flatMap(([key, was]) => parameterChanges(base, was, next, are.get(key), key)),
  ]
}

const parameterChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  key: string,
): ReadonlyArray<string> => {
  if (is === undefined) return [`${key} is gone`]
  if (was.style !== is.style || was.explode !== is.explode) return [`${key} is written in another way`]
  return requestMisfits({ schema: was.schema, document: base }, { schema: is.schema, document: next }, key)
}

/** Requests that the base document allows and the next one does not. */
const requestMisfits = (was: SchemaInDocument, is: SchemaInDocument, where: string) =>
  misfits(was, is, "request").map((what) => `${where}: ${what}, which is no longer taken`)

const requestChanges = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => {
  const [was, is] = [before.requestBody, after.requestBody]
  return [
    ...(is?.required === true && was?.required !== true ? ["the body is required"] : []),
    ...Object.entries<any>(was?.content ?? {}).flatMap(([type, { schema }]) => {
      const now = is?.content?.[type]
      return now === undefined
        ? [`takes no ${type} any more`]
        : requestMisfits({ schema, document: base }, { schema: now.schema, document: next }, "request")
    }),
  ]
}

const isSuccess = (status: string) => Number(status) < 400

const responsesChanges = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => [
  ...Object.keys(after.responses)
    .filter((status) => isSuccess(status) && !(status in before.responses))
    .map((status) => `may answer ${status}`),
  ...Object.entries<any>(before.responses).flatMap(([status, was]) =>
    responseChanges(base, was, next, after.responses[status], status),
  ),
]

const responseChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  status: string,
): ReadonlyArray<string> => {
  const where = `answer ${status}`
  const isProblem = PROBLEM in (was.content ?? {})
  if (is === undefined && !isProblem) return [`${where} is gone`]
  return [
    ...(is === undefined ? [] : headersChanges(base, was, next, is, where)),
    ...(isProblem ? problemChanges(base, was, next, is, where) : contentChanges(base, was, next, is, where)),
  ]
}

/** Answers that the next document allows and the base document does not: a client of the base does not expect them. */
const answerMisfits = (is: SchemaInDocument, was: SchemaInDocument, where: string) =>
  misfits(is, was, "response").map((what) => `${where}: ${what}, which is not expected`)

const contentChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  where: string,
): ReadonlyArray<string> =>
  Object.entries<any>(was.content ?? {}).flatMap(([type, { schema }]) => {
    const now = is.content?.[type]
    return now === undefined
      ? [`${where} is no ${type} any more`]
      : answerMisfits({ schema: now.schema, document: next }, { schema, document: base }, where)
  })

const headerOf = (document: Document, header: any): any =>
  header?.$ref === undefined ? header : resolve(document, header.$ref)

const headersChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  where: string,
): ReadonlyArray<string> =>
  Object.entries(was.headers ?? {}).flatMap(([name, header]) =>
    headerChanges(
      base,
      headerOf(base, header),
      next,
      headerOf(next, is.headers?.[name]),
      `${where}, header ${name}`,
    ),
  )

const headerChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  where: string,
): ReadonlyArray<string> => {
  if (is === undefined) return [`${where} is gone`]
  if (was.required === true && is.required !== true) return [`${where} may be absent`]
  return answerMisfits({ schema: is.schema, document: next }, { schema: was.schema, document: base }, where)
}

const PROBLEM = "application/problem+json"

const problemsOf = (document: Document, response: any): ReadonlyMap<string, SchemaInDocument> => {
  const schema = response?.content?.[PROBLEM]?.schema
  const members: ReadonlyArray<any> = schema?.anyOf ?? (schema === undefined ? [] : [schema])
  return new Map(
    members.map((member) => {
      const problem: any = member.$ref === undefined ? member : resolve(document, member.$ref)
      return [String(problem?.properties?.code?.enum), { schema: problem, document }]
    }),
  )
}

/** Clients branch on codes: no code may disappear or change its schema. The contract lets clients expect new codes. */
const problemChanges = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  where: string,
): ReadonlyArray<string> => {
  const now = problemsOf(next, is)
  return [...problemsOf(base, was)].flatMap(([code, before]) => {
    const after = now.get(code)
    return after === undefined
      ? [`${where}: code ${code} is gone`]
      : answerMisfits(after, before, `${where} ${code}`)
  })
}
