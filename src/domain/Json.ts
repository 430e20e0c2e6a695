import { Schema } from "effect"

/** Whether parsed JSON has at most that many levels. A deeper value may overflow the stack when it is written. */
export const isShallow = (value: unknown, levels: number): boolean =>
  typeof value !== "object" ||
  value === null ||
  (levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1)))

/** The characters that a number, or the punctuation around a value, takes at most. */
const SCALAR_CHARS = 24

/**
 * Estimates the length of parsed JSON when it is written, without escapes; never far too low. Infinite for a value of more
 * than that many levels. Copies nothing: agents send a hundred thousand messages in a turn.
 */
export const estimateJsonChars = (value: unknown, levels: number): number => {
  if (typeof value === "string") return value.length
  if (typeof value !== "object" || value === null) return SCALAR_CHARS
  if (levels === 0) return Number.POSITIVE_INFINITY
  let chars = SCALAR_CHARS
  for (const key in value)
    chars += key.length + estimateJsonChars((value as Record<string, unknown>)[key], levels - 1)
  return chars
}

/**
 * Writes JSON that is the same for equal values: without white space, the keys of every object sorted. Not recursive: a
 * parsed value may have more levels than the stack.
 */
export const canonicalJson = (value: unknown): string => {
  const written: Array<string> = []
  const todo: Array<Part> = [{ value }]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if ("text" in next) written.push(next.text)
    else if (typeof next.value === "object" && next.value !== null) {
      for (const part of partsOf(next.value).toReversed()) todo.push(part)
    } else written.push(JSON.stringify(next.value) ?? "null")
  }
  return written.join("")
}

type Part = { readonly text: string } | { readonly value: unknown }

const partsOf = (value: object): Array<Part> => {
  if (Array.isArray(value)) {
    const items = value.flatMap((item) => [{ text: "," }, { value: item }])
    return [{ text: "[" }, ...items.slice(1), { text: "]" }]
  }
  const entries = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([key, inner]) => [{ text: "," }, { text: `${JSON.stringify(key)}:` }, { value: inner }])
  return [{ text: "{" }, ...entries.slice(1), { text: "}" }]
}

/** The fields of parsed JSON whose shape is not known. An empty record when the value is neither object nor array. */
export const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {}

/** A field of JSON that another program writes: absent, null, or a value of that schema. */
export const nullish = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))
