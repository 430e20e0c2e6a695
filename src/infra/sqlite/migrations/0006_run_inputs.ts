import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/**
 * The inputs of runs that must survive a restart: prompt, system and files as JSON. Removed together with the run's
 * text.
 */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE run_inputs (run_id TEXT PRIMARY KEY, input TEXT NOT NULL) STRICT, WITHOUT ROWID`
})
