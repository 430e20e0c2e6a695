import type { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import { TokenNameTaken } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { TokenRecords } from "../../services/journal/Ledger.ts"
import { type EventWriter, storing, toTokens } from "./Rows.ts"

const COLUMNS = "id, name, ip_cidrs, created_at, last_used_at, revoked_at"

export const tokenRecords = (sql: SqlClient.SqlClient, events: EventWriter): TokenRecords => ({
  insert: (token, hash, origin) =>
    Effect.gen(function* () {
      // The unique index decides who gets the name; asking first would let two have it.
      const inserted = yield* sql`
        INSERT INTO tokens (id, name, hash, ip_cidrs, created_at)
        VALUES (${token.id}, ${token.name}, ${hash}, ${JSON.stringify(token.ipCidrs)}, ${token.createdAt})
        ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
        RETURNING id`
      if (inserted.length === 0) return yield* new TokenNameTaken({ name: token.name })
      yield* events.append({
        type: "token.mint",
        at: token.createdAt,
        tokenId: token.id,
        data: { request_id: origin.requestId, address: origin.address, ip_cidrs: token.ipCidrs },
      })
    }).pipe(sql.withTransaction, storing("minting a token")),

  findByHash: (hash) =>
    sql`SELECT ${sql.literal(COLUMNS)} FROM tokens WHERE hash = ${hash} AND revoked_at IS NULL`.pipe(
      storing("looking up a token"),
      Effect.flatMap(toTokens),
      Effect.map(([token]) => Option.fromNullable(token)),
    ),

  list: sql`SELECT ${sql.literal(COLUMNS)} FROM tokens ORDER BY created_at, id`.pipe(
    storing("listing tokens"),
    Effect.flatMap(toTokens),
  ),

  revoke: (name, at, origin) =>
    Effect.gen(function* () {
      const [revoked] = yield* sql<{ id: TokenId }>`
        UPDATE tokens SET revoked_at = ${at} WHERE name = ${name} AND revoked_at IS NULL RETURNING id`
      if (revoked === undefined) {
        const known = yield* sql`SELECT 1 FROM tokens WHERE name = ${name} LIMIT 1`
        return known.length > 0 ? ("already_revoked" as const) : ("unknown" as const)
      }
      yield* events.append({
        type: "token.revoke",
        at,
        tokenId: revoked.id,
        data: { request_id: origin.requestId, address: origin.address },
      })
      return revoked.id
    }).pipe(sql.withTransaction, storing("revoking a token")),

  touch: (lastUsed) =>
    Effect.forEach(lastUsed, ([id, at]) => sql`UPDATE tokens SET last_used_at = ${at} WHERE id = ${id}`, {
      discard: true,
    }).pipe(sql.withTransaction, storing("noting when tokens were used")),
})
