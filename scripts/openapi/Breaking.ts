import { isDeepStrictEqual } from "node:util"
import { type Document, operationsOf, resolve } from "./Document.ts"
import { misfits, type Of } from "./Schemas.ts"

/** A change that makes a client of the base fail. */
export interface Breaking {
  /** The operation as the changelog names it: `POST /run`. */
  readonly operation: string
  readonly what: string
}

/** What names no operation, because it is of all of them. */
export const EVERY_ROUTE = "every route"

/** What of the base a client that was made for it can no longer do with the next document, or has to learn anew. */
export const breakingChanges = (base: Document, next: Document): ReadonlyArray<Breaking> => {
  const now = new Map(operationsOf(next).map(({ name, operation }) => [name, operation]))
  return [
    ...(isDeepStrictEqual(urlsOf(base), urlsOf(next))
      ? []
      : [{ operation: EVERY_ROUTE, what: "is served from another place" }]),
    ...operationsOf(base).flatMap(({ name, operation }) => {
      const found = now.has(name) ? ofOperation(base, operation, next, now.get(name)) : ["is gone"]
      return [...new Set(found)].map((what) => ({ operation: name, what }))
    }),
  ]
}

const urlsOf = ({ servers }: Document) => (servers ?? [{ url: "/" }]).map(({ url }: any) => url)

const ofOperation = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => [
  ...(before.operationId === after.operationId ? [] : [`operationId ${before.operationId} is gone`]),
  ...ofSecurity(base, before, next, after),
  ...ofParameters(base, before, next, after),
  ...ofRequest(base, before, next, after),
  ...ofResponses(base, before, next, after),
]

/** The ways in: each the schemes that it takes together. */
const waysOf = (document: Document, { security }: any): ReadonlyArray<Record<string, unknown>> => {
  const declared = security ?? document.security ?? []
  return declared.length === 0 ? [{}] : declared
}

const ofSecurity = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => {
  const isSame = (scheme: string) => {
    const [{ description: _, ...was }, { description: __, ...is }] = [base, next].map(
      ({ components }) => components.securitySchemes[scheme] ?? {},
    ) as [any, any]
    return isDeepStrictEqual(was, is)
  }
  return waysOf(base, before)
    .filter(
      (way) =>
        !waysOf(next, after).some((one) =>
          Object.keys(one).every((scheme) => scheme in way && isSame(scheme)),
        ),
    )
    .map((way) => `no longer lets in ${Object.keys(way).join(" with ") || "everybody"}`)
}

const keyOf = ({ in: place, name }: any) =>
  `${place} parameter ${place === "header" ? name.toLowerCase() : name}`
const byKey = ({ parameters }: any): ReadonlyMap<string, any> =>
  new Map((parameters ?? []).map((parameter: any) => [keyOf(parameter), parameter]))

const ofParameters = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => {
  const [were, are] = [byKey(before), byKey(after)]
  const isNewlyRequired = ([key, { required }]: [string, any]) =>
    required === true && were.get(key)?.required !== true
  return [
    ...[...are].filter(isNewlyRequired).map(([key]) => `${key} is required`),
    ...[...were].flatMap(([key, was]) => ofParameter(base, was, next, are.get(key), key)),
  ]
}

const ofParameter = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  key: string,
): ReadonlyArray<string> => {
  if (is === undefined) return [`${key} is gone`]
  if (was.style !== is.style || was.explode !== is.explode) return [`${key} is written in another way`]
  return refused({ schema: was.schema, document: base }, { schema: is.schema, document: next }, key)
}

/** What the base let a client send, and is no longer taken. */
const refused = (was: Of, is: Of, where: string) =>
  misfits(was, is, "request").map((what) => `${where}: ${what}, which is no longer taken`)

const ofRequest = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => {
  const [was, is] = [before.requestBody, after.requestBody]
  return [
    ...(is?.required === true && was?.required !== true ? ["the body is required"] : []),
    ...Object.entries<any>(was?.content ?? {}).flatMap(([type, { schema }]) => {
      const now = is?.content?.[type]
      return now === undefined
        ? [`takes no ${type} any more`]
        : refused({ schema, document: base }, { schema: now.schema, document: next }, "request")
    }),
  ]
}

const isSuccess = (status: string) => Number(status) < 400

const ofResponses = (base: Document, before: any, next: Document, after: any): ReadonlyArray<string> => [
  ...Object.keys(after.responses)
    .filter((status) => isSuccess(status) && !(status in before.responses))
    .map((status) => `may answer ${status}`),
  ...Object.entries<any>(before.responses).flatMap(([status, was]) =>
    ofResponse(base, was, next, after.responses[status], status),
  ),
]

const ofResponse = (
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
    ...(is === undefined ? [] : ofHeaders(base, was, next, is, where)),
    ...(isProblem ? ofProblems(base, was, next, is, where) : ofContent(base, was, next, is, where)),
  ]
}

/** What the next document lets the service send, and a client of the base does not expect. */
const unexpected = (is: Of, was: Of, where: string) =>
  misfits(is, was, "response").map((what) => `${where}: ${what}, which is not expected`)

const ofContent = (base: Document, was: any, next: Document, is: any, where: string): ReadonlyArray<string> =>
  Object.entries<any>(was.content ?? {}).flatMap(([type, { schema }]) => {
    const now = is.content?.[type]
    return now === undefined
      ? [`${where} is no ${type} any more`]
      : unexpected({ schema: now.schema, document: next }, { schema, document: base }, where)
  })

const headerOf = (document: Document, header: any): any =>
  header?.$ref === undefined ? header : resolve(document, header.$ref)

const ofHeaders = (base: Document, was: any, next: Document, is: any, where: string): ReadonlyArray<string> =>
  Object.entries(was.headers ?? {}).flatMap(([name, header]) =>
    ofHeader(
      base,
      headerOf(base, header),
      next,
      headerOf(next, is.headers?.[name]),
      `${where}, header ${name}`,
    ),
  )

const ofHeader = (
  base: Document,
  was: any,
  next: Document,
  is: any,
  where: string,
): ReadonlyArray<string> => {
  if (is === undefined) return [`${where} is gone`]
  if (was.required === true && is.required !== true) return [`${where} may be absent`]
  return unexpected({ schema: is.schema, document: next }, { schema: was.schema, document: base }, where)
}

const PROBLEM = "application/problem+json"

const problemsOf = (document: Document, response: any): ReadonlyMap<string, Of> => {
  const schema = response?.content?.[PROBLEM]?.schema
  const members: ReadonlyArray<any> = schema?.anyOf ?? (schema === undefined ? [] : [schema])
  return new Map(
    members.map((member) => {
      const problem: any = member.$ref === undefined ? member : resolve(document, member.$ref)
      return [String(problem?.properties?.code?.enum), { schema: problem, document }]
    }),
  )
}

/** Clients branch on codes: none may go, and each stays what it is. One more is what the contract lets them expect. */
const ofProblems = (
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
      : unexpected(after, before, `${where} ${code}`)
  })
}
