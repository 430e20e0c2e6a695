/** Whether parsed JSON has at most so many levels: then it can be written again, whatever the stack has left. */
export const isShallow = (value: unknown, levels: number): boolean =>
  typeof value !== "object" ||
  value === null ||
  (levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1)))

/** What a number, or the punctuation around a value, may take. */
const SCALAR_CHARS = 24

/**
 * About as many characters as parsed JSON has when it is written, before anything in it is escaped; never far fewer.
 * Infinite when it has more than so many levels. Agents send a hundred thousand of these: it copies nothing.
 */
export const charsOf = (value: unknown, levels: number): number => {
  if (typeof value === "string") return value.length
  if (typeof value !== "object" || value === null) return SCALAR_CHARS
  if (levels === 0) return Number.POSITIVE_INFINITY
  let chars = SCALAR_CHARS
  for (const key in value) chars += key.length + charsOf((value as Record<string, unknown>)[key], levels - 1)
  return chars
}
