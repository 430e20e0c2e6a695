import type { SqlClient } from "@effect/sql"
import { Effect, Option, Schema } from "effect"
import { Unauthorized } from "../../domain/Failure.ts"
import type { StoredFile } from "../../domain/File.ts"
import { FileId, TokenId } from "../../domain/Ids.ts"
import type { FileRecords } from "../../services/journal/Ledger.ts"
import { keepAnswer } from "./KeyRecords.ts"
import { type EventWriter, rowsTo, storing } from "./Rows.ts"

const COLUMNS = "id, token_id, name, size, created_at, expires_at"

/** Files that are removed in one transaction: others wait for its end. */
const DUE_MAX = 250

const FileRow = Schema.Struct({
  id: FileId,
  token_id: TokenId,
  name: Schema.String,
  size: Schema.Number,
  created_at: Schema.Number,
  expires_at: Schema.Number,
})

const toFiles = rowsTo(
  "files",
  FileRow,
  (row): StoredFile => ({
    id: row.id,
    tokenId: row.token_id,
    name: row.name,
    size: row.size,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }),
)

export const fileRecords = (sql: SqlClient.SqlClient, events: EventWriter): FileRecords => ({
  insert: (file, hash, origin, kept) =>
    Effect.gen(function* () {
      // Asking first whether the token is in force would let it be revoked in between.
      const inserted = yield* sql`
        INSERT INTO files (id, hash, token_id, name, size, created_at, expires_at)
        SELECT ${file.id}, ${hash}, id, ${file.name}, ${file.size}, ${file.createdAt}, ${file.expiresAt}
        FROM tokens WHERE id = ${file.tokenId} AND revoked_at IS NULL
        RETURNING id`
      if (inserted.length === 0) return yield* new Unauthorized()
      yield* events.append({
        type: "file.upload",
        at: file.createdAt,
        tokenId: file.tokenId,
        data: {
          file_id: file.id,
          size: file.size,
          expires_at: file.expiresAt,
          request_id: origin.requestId,
          address: origin.address,
        },
      })
      if (kept !== undefined) yield* keepAnswer(sql, { ...kept, owner: file.tokenId, at: file.createdAt })
    }).pipe(sql.withTransaction, storing("recording an upload")),

  findByHash: (hash) =>
    sql`SELECT ${sql.literal(COLUMNS)} FROM files WHERE hash = ${hash}`.pipe(
      storing("looking up a file"),
      Effect.flatMap(toFiles),
      Effect.map(([file]) => Option.fromNullable(file)),
    ),

  list: sql`SELECT ${sql.literal(COLUMNS)} FROM files`.pipe(
    storing("listing files"),
    Effect.flatMap(toFiles),
  ),

  soonestExpiry: (owner) =>
    sql<{ at: number | null }>`SELECT min(expires_at) AS at FROM files WHERE token_id = ${owner}`.pipe(
      storing("looking for room"),
      Effect.map(([row]) => Option.fromNullable(row?.at)),
    ),

  due: (at) =>
    sql`SELECT ${sql.literal(COLUMNS)} FROM files WHERE expires_at <= ${at} ORDER BY expires_at LIMIT ${DUE_MAX}`.pipe(
      storing("looking for expired files"),
      Effect.flatMap(toFiles),
    ),

  remove: (files, at) =>
    Effect.filter(files, ({ id, tokenId, size }) =>
      Effect.gen(function* () {
        const removed = yield* sql`DELETE FROM files WHERE id = ${id} RETURNING id`
        if (removed.length === 0) return false
        yield* events.append({ type: "file.expire", at, tokenId, data: { file_id: id, size } })
        return true
      }),
    ).pipe(sql.withTransaction, storing("removing expired files")),
})
