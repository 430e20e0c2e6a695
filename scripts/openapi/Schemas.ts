import { isDeepStrictEqual } from "node:util"
import { type Document, resolve } from "./Document.ts"

/** A schema, and the document that its references point into. */
export interface SchemaInDocument {
  readonly schema: any
  readonly document: Document
}

/** Whether the values are a client's requests or the service's answers. */
export type Direction = "request" | "response"

/** Keywords that do not restrict values. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  "description",
  "examples",
  "example",
  "title",
  "$comment",
  "deprecated",
])
/** Keywords that bound a value from below. */
const LOWER = ["minimum", "exclusiveMinimum", "minLength", "minItems"]
/** Keywords that bound a value from above. */
const UPPER = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"]
/** Keywords that `misfits` understands. */
const KNOWN: ReadonlySet<string> = new Set(
  [
    "$ref",
    "anyOf",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
  ].concat(LOWER, UPPER, "pattern"),
)

/**
 * Describes, one line each, values that fit the first schema and not the second. Empty if every value that fits the first
 * schema fits the second. A keyword that is not in `KNOWN` counts as a misfit unless both sides have the same value.
 */
export const misfits = (
  from: SchemaInDocument,
  to: SchemaInDocument,
  direction: Direction,
  at = "",
  seen: ReadonlySet<string> = new Set(),
): ReadonlyArray<string> => {
  const pair = `${from.schema?.$ref} ${to.schema?.$ref}`
  const isCircle = from.schema?.$ref !== undefined && to.schema?.$ref !== undefined && seen.has(pair)
  if (isCircle) return []
  const followed = new Set([...seen, pair])
  const targets = alternatives(to)
  return alternatives(from).flatMap((source) => {
    const tries = targets.map((target) => simpleMisfits(source, target, direction, at, followed))
    if (tries.some((found) => found.length === 0)) return []
    const [only] = tries
    const alike = targets.findIndex(({ schema }) => schema.type === source.schema.type)
    if (targets.length === 1) return only ?? []
    return alike === -1 ? [`${subject(at)} may be ${describe(source.schema)}`] : (tries[alike] ?? [])
  })
}

const subject = (at: string) => (at === "" ? "it" : `\`${at.replace(/^\./, "")}\``)
const describe = ({ type, enum: values }: any) =>
  values === undefined
    ? (type ?? "anything")
    : values.map((value: unknown) => JSON.stringify(value)).join(" or ")

/** Splits a schema into forms without `$ref` and `anyOf`, each of one type. */
const alternatives = ({ schema, document }: SchemaInDocument): ReadonlyArray<SchemaInDocument> => {
  const { $ref, anyOf, ...rest } = schema === true ? {} : schema
  if ($ref !== undefined) {
    return alternatives({ schema: resolve(document, $ref), document }).flatMap(({ schema }) =>
      alternatives({ schema: { ...schema, ...rest }, document }),
    )
  }
  if (anyOf !== undefined) {
    return anyOf.flatMap((one: any) =>
      alternatives({ schema: one, document }).map((form) => ({
        schema: { ...rest, ...form.schema },
        document,
      })),
    )
  }
  return Array.isArray(rest.type)
    ? rest.type.map((type: string) => ({ schema: { ...rest, type }, document }))
    : [{ schema: rest, document }]
}

const simpleMisfits = (
  from: SchemaInDocument,
  to: SchemaInDocument,
  direction: Direction,
  at: string,
  seen: ReadonlySet<string>,
): ReadonlyArray<string> => {
  const [inner, outer] = [from.schema, to.schema]
  const typeFits =
    outer.type === undefined ||
    inner.type === outer.type ||
    (inner.type === "integer" && outer.type === "number")
  if (!typeFits) return [`${subject(at)} may be ${describe(inner)}, not ${describe(outer)}`]
  return [
    ...enumMisfits(inner, outer, at),
    ...boundMisfits(inner, outer, at),
    ...otherMisfits(inner, outer, at),
    ...(inner.type === "object" || inner.properties !== undefined
      ? objectMisfits(from, to, direction, at, seen)
      : []),
    ...(outer.items === undefined
      ? []
      : misfits(
          { ...from, schema: inner.items ?? {} },
          { ...to, schema: outer.items },
          direction,
          `${at}[]`,
          seen,
        )),
  ]
}

const literals = (schema: any): ReadonlyArray<unknown> | undefined =>
  "const" in schema ? [schema.const] : schema.enum

const enumMisfits = (inner: any, outer: any, at: string) => {
  const [values, allowed] = [literals(inner), literals(outer)]
  if (allowed === undefined) return []
  if (values === undefined)
    return [`${subject(at)} may be any ${inner.type ?? "value"}, not only ${describe({ enum: allowed })}`]
  return values
    .filter((value) => !allowed.some((one) => isDeepStrictEqual(one, value)))
    .map((value) => `${subject(at)} may be ${JSON.stringify(value)}`)
}

const boundMisfits = (inner: any, outer: any, at: string) => {
  const passes = (keyword: string, isWithin: (inside: number, bound: number) => boolean) =>
    outer[keyword] === undefined || (inner[keyword] !== undefined && isWithin(inner[keyword], outer[keyword]))
  const broken = [
    ...LOWER.filter((keyword) => !passes(keyword, (inside, bound) => inside >= bound)),
    ...UPPER.filter((keyword) => !passes(keyword, (inside, bound) => inside <= bound)),
    ...["pattern"].filter((keyword) => outer[keyword] !== undefined && inner[keyword] !== outer[keyword]),
  ].filter(() => literals(inner) === undefined)
  return broken.map((keyword) => `${subject(at)} may be outside of ${keyword} ${outer[keyword]}`)
}

const otherMisfits = (inner: any, outer: any, at: string) =>
  [...new Set([...Object.keys(inner), ...Object.keys(outer)])]
    .filter((keyword) => !KNOWN.has(keyword) && !ANNOTATIONS.has(keyword))
    .filter((keyword) => !isDeepStrictEqual(inner[keyword], outer[keyword]))
    .map((keyword) => `${subject(at)} has another ${keyword}`)

const objectMisfits = (
  from: SchemaInDocument,
  to: SchemaInDocument,
  direction: Direction,
  at: string,
  seen: ReadonlySet<string>,
): ReadonlyArray<string> => {
  const [inner, outer] = [from.schema, to.schema]
  const [has, knows] = [inner.properties ?? {}, outer.properties ?? {}]
  const more = inner.additionalProperties ?? {}
  const moreAllowed = outer.additionalProperties ?? {}
  const isOpen = more !== false
  const compare = (one: any, other: any, field: string) =>
    misfits({ ...from, schema: one }, { ...to, schema: other }, direction, `${at}.${field}`, seen)
  return [
    ...(outer.required ?? [])
      .filter((field: string) => !(inner.required ?? []).includes(field))
      .map((field: string) => `${subject(`${at}.${field}`)} may be absent`),
    ...Object.keys(knows)
      .filter((field) => !(field in has) && direction === "response" && !outer.required?.includes(field))
      .map((field) => `${subject(`${at}.${field}`)} is gone`),
    ...Object.entries(has).flatMap(([field, schema]) => {
      if (field in knows) return compare(schema, knows[field], field)
      if (moreAllowed === false) return [`${subject(`${at}.${field}`)} is not known`]
      return compare(schema, moreAllowed, field)
    }),
    ...(isOpen && moreAllowed === false ? [`${subject(at)} may have more fields`] : []),
    ...(isOpen && moreAllowed !== false ? compare(more, moreAllowed, "*") : []),
  ]
}
