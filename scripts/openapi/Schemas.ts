import { isDeepStrictEqual } from "node:util"
import { type Document, resolve } from "./Document.ts"

/** A schema, and the document in which its references lead somewhere. */
export interface Of {
  readonly schema: any
  readonly document: Document
}

/** Where the values come from: a client of the base (its requests), or the service of today (its answers). */
export type Direction = "request" | "response"

/** Keywords that say nothing of which values there are. */
const NOTES: ReadonlySet<string> = new Set([
  "description",
  "examples",
  "example",
  "title",
  "$comment",
  "deprecated",
])
/** Keywords that `misfits` understands. */
const LOWER = ["minimum", "exclusiveMinimum", "minLength", "minItems"]
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
 * What values of the first schema the second does not have, a line each: none if every value that fits the first fits
 * the second. What it does not understand counts as a misfit, unless it is the same on both sides.
 */
export const misfits = (
  from: Of,
  to: Of,
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
    return alike === -1 ? [`${named(at)} may be ${shown(source.schema)}`] : (tries[alike] ?? [])
  })
}

const named = (at: string) => (at === "" ? "it" : `\`${at.replace(/^\./, "")}\``)
const shown = ({ type, enum: values }: any) =>
  values === undefined
    ? (type ?? "anything")
    : values.map((value: unknown) => JSON.stringify(value)).join(" or ")

/** The schema as forms without `anyOf`, of one type each. */
const alternatives = ({ schema, document }: Of): ReadonlyArray<Of> => {
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
  from: Of,
  to: Of,
  direction: Direction,
  at: string,
  seen: ReadonlySet<string>,
): ReadonlyArray<string> => {
  const [inner, outer] = [from.schema, to.schema]
  const typeFits =
    outer.type === undefined ||
    inner.type === outer.type ||
    (inner.type === "integer" && outer.type === "number")
  if (!typeFits) return [`${named(at)} may be ${shown(inner)}, not ${shown(outer)}`]
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
    return [`${named(at)} may be any ${inner.type ?? "value"}, not only ${shown({ enum: allowed })}`]
  return values
    .filter((value) => !allowed.some((one) => isDeepStrictEqual(one, value)))
    .map((value) => `${named(at)} may be ${JSON.stringify(value)}`)
}

const boundMisfits = (inner: any, outer: any, at: string) => {
  const passes = (keyword: string, isWithin: (inside: number, bound: number) => boolean) =>
    outer[keyword] === undefined || (inner[keyword] !== undefined && isWithin(inner[keyword], outer[keyword]))
  const broken = [
    ...LOWER.filter((keyword) => !passes(keyword, (inside, bound) => inside >= bound)),
    ...UPPER.filter((keyword) => !passes(keyword, (inside, bound) => inside <= bound)),
    ...["pattern"].filter((keyword) => outer[keyword] !== undefined && inner[keyword] !== outer[keyword]),
  ].filter(() => literals(inner) === undefined)
  return broken.map((keyword) => `${named(at)} may be outside of ${keyword} ${outer[keyword]}`)
}

const otherMisfits = (inner: any, outer: any, at: string) =>
  [...new Set([...Object.keys(inner), ...Object.keys(outer)])]
    .filter((keyword) => !KNOWN.has(keyword) && !NOTES.has(keyword))
    .filter((keyword) => !isDeepStrictEqual(inner[keyword], outer[keyword]))
    .map((keyword) => `${named(at)} has another ${keyword}`)

const objectMisfits = (
  from: Of,
  to: Of,
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
      .map((field: string) => `${named(`${at}.${field}`)} may be absent`),
    ...Object.keys(knows)
      .filter((field) => !(field in has) && direction === "response" && !outer.required?.includes(field))
      .map((field) => `${named(`${at}.${field}`)} is gone`),
    ...Object.entries(has).flatMap(([field, schema]) => {
      if (field in knows) return compare(schema, knows[field], field)
      if (moreAllowed === false) return [`${named(`${at}.${field}`)} is not known`]
      return compare(schema, moreAllowed, field)
    }),
    ...(isOpen && moreAllowed === false ? [`${named(at)} may have more fields`] : []),
    ...(isOpen && moreAllowed !== false ? compare(more, moreAllowed, "*") : []),
  ]
}
