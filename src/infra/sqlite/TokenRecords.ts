import { type SqlClient, SqlSchema } from "@effect/sql"
import { Effect, Schema } from "effect"
import { TokenNameTaken } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import { AppToken } from "../../domain/Token.ts"
import type { TokenRecords } from "../../services/journal/Ledger.ts"
import { columnsOf } from "./Columns.ts"
import type { EventWriter } from "./EventWriter.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

const TokenRow = Schema.Struct({
  ...AppToken.fields,
  ipCidrs: Schema.parseJson(Schema.Array(Schema.String)),
})

/** Whether a token is in force. Asked after a conditional statement that changed nothing, to learn why. */
export const isInForce = (sql: SqlClient.SqlClient, token: TokenId) =>
  Effect.map(sql`SELECT 1 FROM tokens WHERE id = ${token} AND revoked_at IS NULL`, (rows) => rows.length > 0)

/** Makes the records of apps' tokens. */
export const tokenRecords = ({ sql, transaction }: LedgerDatabase, events: EventWriter): TokenRecords => {
  const columns = sql.literal(columnsOf(TokenRow))
  const findByHash = SqlSchema.findOne({
    Request: Schema.String,
    Result: TokenRow,
    execute: (hash) => sql`SELECT ${columns} FROM tokens WHERE hash = ${hash} AND revoked_at IS NULL`,
  })
  const list = SqlSchema.findAll({
    Request: Schema.Void,
    Result: TokenRow,
    execute: () => sql`SELECT ${columns} FROM tokens ORDER BY created_at, id`,
  })

  return {
    insert: (token, hash, { requestId, address }) =>
      Effect.gen(function* () {
        // The unique index decides which of two requests gets the name.
        const inserted = yield* sql`
          INSERT INTO tokens (id, name, hash, ip_cidrs, created_at)
          VALUES (${token.id}, ${token.name}, ${hash}, ${JSON.stringify(token.ipCidrs)}, ${token.createdAt})
          ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
          RETURNING id`
        if (inserted.length === 0) return yield* new TokenNameTaken({ name: token.name })
        yield* events.append([
          {
            type: "token.mint",
            at: token.createdAt,
            runId: null,
            sessionId: null,
            tokenId: token.id,
            data: { request_id: requestId, address, ip_cidrs: token.ipCidrs },
          },
        ])
      }).pipe(transaction("minting a token")),

    findByHash: (hash) => findByHash(hash).pipe(asStorageFailure("looking up a token")),

    list: Effect.suspend(() => list()).pipe(asStorageFailure("listing tokens")),

    revoke: (name, at, { requestId, address }) =>
      Effect.gen(function* () {
        const [revoked] = yield* sql<{ id: TokenId }>`
          UPDATE tokens SET revoked_at = ${at} WHERE name = ${name} AND revoked_at IS NULL RETURNING id`
        if (revoked === undefined) {
          const known = yield* sql`SELECT 1 FROM tokens WHERE name = ${name} LIMIT 1`
          return known.length > 0 ? ("already_revoked" as const) : ("unknown" as const)
        }
        yield* events.append([
          {
            type: "token.revoke",
            at,
            runId: null,
            sessionId: null,
            tokenId: revoked.id,
            data: { request_id: requestId, address },
          },
        ])
        return revoked.id
      }).pipe(transaction("revoking a token")),

    touch: (lastUsed) =>
      Effect.forEach(lastUsed, ([id, at]) => sql`UPDATE tokens SET last_used_at = ${at} WHERE id = ${id}`, {
        discard: true,
      }).pipe(transaction("noting when tokens were used")),
  }
}
