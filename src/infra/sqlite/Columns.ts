import { Schema } from "effect"

/** Converts names between SQL (`created_at`) and TypeScript (`createdAt`). */
export const toColumn = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
export const fromColumn = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Returns the column list of a SELECT for rows of this schema. `table` is a prefix such as `e.`. */
export const columnsOf = (row: { readonly fields: Readonly<Record<string, unknown>> }, table = ""): string =>
  Object.keys(row.fields)
    .map((field) => `${table}${toColumn(field)}`)
    .join(", ")

/** A boolean, stored as 0 or 1. */
export const Bit = Schema.transform(Schema.Literal(0, 1), Schema.Boolean, {
  strict: true,
  decode: (bit) => bit === 1,
  encode: (is) => (is ? 1 : 0),
})
