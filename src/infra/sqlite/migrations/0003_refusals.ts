import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Adds to the audit view why a request was refused (`code`), and how many requests a row counts (`count`). */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP VIEW audit`
  yield* sql`
    CREATE VIEW audit AS
    SELECT e.seq, e.at, e.type, t.name AS token, e.run_id, e.session_id,
      coalesce(e.data ->> 'request_id', r.request_id) AS request_id,
      coalesce(e.data ->> 'address', r.address) AS address,
      r.prompt_chars, ended.status, coalesce(ended.code, e.data ->> 'code') AS code, ended.stop_reason,
      ended.response_chars, ended.duration_ms, e.data ->> 'count' AS count, e.data
    FROM events e
    LEFT JOIN tokens t ON t.id = e.token_id
    LEFT JOIN runs r ON r.id = e.run_id
    LEFT JOIN runs ended ON ended.id = e.run_id AND e.type NOT IN ('run.queued', 'run.started')`
})
