import { Schema } from "effect"

/** Names in SQL are in snake case, in TypeScript in camel case: `created_at` is `createdAt`. */
export const toColumn = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
export const fromColumn = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The columns of a row that has these fields, for a SELECT. */
export const columnsOf = (row: { readonly fields: Readonly<Record<string, unknown>> }, table = ""): string =>
  Object.keys(row.fields)
    .map((field) => `${table}${toColumn(field)}`)
    .join(", ")

/** A boolean as SQLite has it: 0 or 1. */
export const Bit = Schema.transform(Schema.Literal(0, 1), Schema.Boolean, {
  strict: true,
  decode: (bit) => bit === 1,
  encode: (is) => (is ? 1 : 0),
})
