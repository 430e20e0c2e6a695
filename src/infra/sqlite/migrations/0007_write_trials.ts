import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** One row, which is written to find out whether the database can be written to. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE write_trials (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL) STRICT`
})
