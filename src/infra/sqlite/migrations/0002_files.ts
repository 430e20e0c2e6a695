import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Uploaded files: owner, size and expiry. The bytes are in FILES_DIR, in a file named by the id. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE files (
      id TEXT PRIMARY KEY,
      hash TEXT NOT NULL UNIQUE,
      token_id TEXT NOT NULL REFERENCES tokens (id),
      name TEXT NOT NULL,
      size INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL
    ) STRICT`
  yield* sql`CREATE INDEX files_of_token ON files (token_id, expires_at)`
  yield* sql`CREATE INDEX files_due ON files (expires_at)`
})
