import type { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import type { RunId, TokenId } from "../../domain/Ids.ts"
import { CLAIM_MILLIS, type Claim } from "../../domain/Run.ts"
import type { KeptAnswer, KeyRecords } from "../../services/journal/Ledger.ts"
import { storing } from "./Rows.ts"

/** Keeps an answer under its key; to be called in the transaction of the change that the answer tells of. */
export const keepAnswer = (
  sql: SqlClient.SqlClient,
  kept: {
    readonly owner: TokenId
    readonly claim: Claim | undefined
    readonly answer: unknown
    readonly run?: RunId
    readonly at: number
  },
) =>
  kept.claim === undefined
    ? Effect.void
    : Effect.zipRight(
        // One whose time is over counts for nothing, though nobody has removed it yet. One that counts stays, and
        // then nothing of this transaction does.
        sql`
          DELETE FROM idempotency_keys
          WHERE token_id = ${kept.owner} AND route = ${kept.claim.route} AND key = ${kept.claim.key}
            AND created_at <= ${kept.at - CLAIM_MILLIS}`,
        sql`
          INSERT INTO idempotency_keys (token_id, route, key, fingerprint, answer, run_id, created_at)
          VALUES (${kept.owner}, ${kept.claim.route}, ${kept.claim.key}, ${kept.claim.fingerprint},
            ${JSON.stringify(kept.answer)}, ${kept.run ?? null}, ${kept.at})`,
      )

export const keyRecords = (sql: SqlClient.SqlClient): KeyRecords => ({
  find: (owner, { route, key }, at) =>
    sql<KeptAnswer>`
      SELECT fingerprint, answer FROM idempotency_keys
      WHERE token_id = ${owner} AND route = ${route} AND key = ${key}
        AND created_at > ${at - CLAIM_MILLIS}`.pipe(
      Effect.map(([row]) => Option.fromNullable(row)),
      storing("looking up an idempotency key"),
    ),
})
