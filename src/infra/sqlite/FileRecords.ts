import { SqlSchema } from "@effect/sql"
import { Effect, Option, Redacted, Schema } from "effect"
import { Unauthorized } from "../../domain/Failure.ts"
import { StoredFile, UploadAnswer } from "../../domain/File.ts"
import type { FileId } from "../../domain/Ids.ts"
import type { FileRecords } from "../../services/journal/Ledger.ts"
import { columnsOf } from "./Columns.ts"
import type { EventWriter } from "./EventWriter.ts"
import { storeAnswer } from "./IdempotencyKeyRecords.ts"
import { asStorageFailure, type LedgerDatabase } from "./LedgerDatabase.ts"

/** How many files `due` returns. They are removed in one transaction, and other work waits for its end. */
const DUE_MAX = 250

const encodeAnswer = Schema.encodeSync(UploadAnswer)

/** Makes the records of uploaded files. */
export const fileRecords = (database: LedgerDatabase, events: EventWriter): FileRecords => {
  const { sql, transaction } = database
  const columns = sql.literal(columnsOf(StoredFile))
  const findByHash = SqlSchema.findOne({
    Request: Schema.String,
    Result: StoredFile,
    execute: (hash) => sql`SELECT ${columns} FROM files WHERE hash = ${hash}`,
  })
  const list = SqlSchema.findAll({
    Request: Schema.Void,
    Result: StoredFile,
    execute: () => sql`SELECT ${columns} FROM files`,
  })
  const due = SqlSchema.findAll({
    Request: Schema.Number,
    Result: StoredFile,
    execute: (at) =>
      sql`SELECT ${columns} FROM files WHERE expires_at <= ${at} ORDER BY expires_at LIMIT ${DUE_MAX}`,
  })

  return {
    insert: ({ file, token, hash, ttlSecs, origin }) =>
      Effect.gen(function* () {
        // One statement checks the token and inserts. Between two statements the token could be revoked.
        const inserted = yield* sql`
          INSERT INTO files (id, hash, token_id, name, size, created_at, expires_at)
          SELECT ${file.id}, ${hash}, id, ${file.name}, ${file.size}, ${file.createdAt}, ${file.expiresAt}
          FROM tokens WHERE id = ${file.tokenId} AND revoked_at IS NULL
          RETURNING id`
        if (inserted.length === 0) return yield* new Unauthorized()
        yield* events.append([
          {
            type: "file.upload",
            at: file.createdAt,
            runId: null,
            sessionId: null,
            tokenId: file.tokenId,
            data: {
              file_id: file.id,
              size: file.size,
              expires_at: file.expiresAt,
              request_id: origin.requestId,
              address: origin.address,
            },
          },
        ])
        const answer = encodeAnswer({ token: Redacted.make(Redacted.value(token)), size: file.size, ttlSecs })
        yield* storeAnswer(database, origin, answer, { owner: file.tokenId, at: file.createdAt })
      }).pipe(transaction("recording an upload")),

    findByHash: (hash) => findByHash(hash).pipe(asStorageFailure("looking up a file")),

    existing: (files) =>
      sql<{ id: FileId }>`
        SELECT id FROM files WHERE id IN (SELECT value FROM json_each(${JSON.stringify(files)}))`.pipe(
        Effect.map((rows) => rows.map(({ id }) => id)),
        asStorageFailure("looking which files are there"),
      ),

    list: Effect.suspend(() => list()).pipe(asStorageFailure("listing files")),

    soonestExpiry: (owner) =>
      sql<{ at: number | null }>`SELECT min(expires_at) AS at FROM files WHERE token_id = ${owner}`.pipe(
        Effect.map(([row]) => Option.fromNullable(row?.at)),
        asStorageFailure("looking for room"),
      ),

    due: (at) => due(at).pipe(asStorageFailure("looking for expired files")),

    remove: (files, at) =>
      Effect.filter(files, ({ id, tokenId, size }) =>
        Effect.gen(function* () {
          const removed = yield* sql`DELETE FROM files WHERE id = ${id} RETURNING id`
          if (removed.length === 0) return false
          const data = { file_id: id, size }
          yield* events.append([{ type: "file.expire", at, runId: null, sessionId: null, tokenId, data }])
          return true
        }),
      ).pipe(transaction("removing expired files")),
  }
}
