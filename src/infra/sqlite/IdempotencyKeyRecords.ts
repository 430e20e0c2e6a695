import { SqlSchema } from "@effect/sql"
import { Effect, Schema } from "effect"
import { RunId, TokenId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS, type Origin } from "../../domain/Origin.ts"
import type { KeyRecords } from "../../services/journal/Ledger.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

/** Stores an answer under the origin's idempotency key, if it has one. Runs within the transaction of the change. */
export const storeAnswer = (
  { sql }: LedgerDatabase,
  { idempotencyKey }: Origin,
  answer: unknown,
  subject: { readonly owner: TokenId; readonly run?: RunId; readonly at: number },
) =>
  idempotencyKey === undefined
    ? Effect.void
    : Effect.zipRight(
        // An expired key can be used again. A key in force makes the INSERT fail, and with it the transaction.
        sql`
          DELETE FROM idempotency_keys
          WHERE token_id = ${subject.owner} AND route = ${idempotencyKey.route} AND key = ${idempotencyKey.key}
            AND created_at <= ${subject.at - IDEMPOTENCY_KEY_MILLIS}`,
        sql`
          INSERT INTO idempotency_keys (token_id, route, key, fingerprint, answer, run_id, created_at)
          VALUES (${subject.owner}, ${idempotencyKey.route}, ${idempotencyKey.key}, ${idempotencyKey.fingerprint},
            ${JSON.stringify(answer)}, ${subject.run ?? null}, ${subject.at})`,
      )

/** Makes the records of idempotency keys. */
export const keyRecords = ({ sql }: LedgerDatabase): KeyRecords => {
  const find = SqlSchema.findOne({
    Request: Schema.Struct({
      owner: TokenId,
      route: Schema.String,
      key: Schema.String,
      newerThan: Schema.Number,
    }),
    Result: Schema.Struct({ fingerprint: Schema.String, answer: Schema.String }),
    execute: ({ owner, route, key, newerThan }) => sql`
      SELECT fingerprint, answer FROM idempotency_keys
      WHERE token_id = ${owner} AND route = ${route} AND key = ${key} AND created_at > ${newerThan}`,
  })
  return {
    find: (owner, { route, key }, at) =>
      find({ owner, route, key, newerThan: at - IDEMPOTENCY_KEY_MILLIS }).pipe(
        asStorageFailure("looking up an idempotency key"),
      ),
  }
}
