import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Finds the counts that have come down to zero. They are removed: there may never be an event of that app again. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX event_counts_empty ON event_counts (count) WHERE count = 0`
})
