import { Schema } from "effect"
import { expected } from "../../domain/Failure.ts"

const DESCRIPTION =
  "A name of the client's own for what it asks. For 24 hours, the same key with the same request gives the first answer again, with `Idempotent-Replayed: true`; with another request it is a 409."

const IdempotencyKey = Schema.Trim.pipe(
  Schema.pattern(/^[\x20-\x7E]{1,255}$/),
  Schema.annotations({
    message: expected("must be 1 to 255 printable ASCII characters"),
    // Written out: for a schema that trims, the document would show the part before the trimming only.
    jsonSchema: {
      type: "string",
      description: DESCRIPTION,
      minLength: 1,
      maxLength: 255,
      pattern: "^[ -~]*$",
      examples: ["order-17"],
    },
  }),
)

/** The request headers of routes with idempotency. */
export const IdempotencyHeaders = Schema.Struct({
  "idempotency-key": Schema.optionalWith(IdempotencyKey, { exact: true }),
})
export type IdempotencyHeaders = typeof IdempotencyHeaders.Type
