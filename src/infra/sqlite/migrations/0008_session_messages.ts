import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/**
 * What agents say about a session while no turn of it is open (session_messages, with numbers from the sequence of
 * events). A row is removed with its text. `messages_trimmed_to` is the number up to which they are removed.
 * `agent_cost_usd` is what the whole session cost so far, as its agent last said; null until it says so.
 */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE session_messages (
      seq INTEGER PRIMARY KEY,
      session_id TEXT NOT NULL,
      at INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      body TEXT NOT NULL
    ) STRICT`
  // It has the sizes, so that no text is read to measure it.
  yield* sql`CREATE INDEX session_messages_of_session ON session_messages (session_id, seq, bytes)`
  yield* sql`ALTER TABLE sessions ADD COLUMN messages_trimmed_to INTEGER NOT NULL DEFAULT 0`
  yield* sql`ALTER TABLE sessions ADD COLUMN agent_cost_usd REAL`
})
