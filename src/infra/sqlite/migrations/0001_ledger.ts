import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/**
 * The ledger: apps' tokens, their runs, and the log of events, which has one sequence. Times are milliseconds since
 * 1970. `audit` is a view: nothing is written twice.
 */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE tokens (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      ip_cidrs TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      last_used_at INTEGER,
      revoked_at INTEGER
    ) STRICT`
  // A token's name is unique among the tokens in force. After a revocation it can be minted again.
  yield* sql`CREATE UNIQUE INDEX tokens_name_in_force ON tokens (name) WHERE revoked_at IS NULL`
  yield* sql`CREATE INDEX tokens_name ON tokens (name)`

  yield* sql`
    CREATE TABLE runs (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('run', 'turn')),
      token_id TEXT NOT NULL REFERENCES tokens (id),
      session_id TEXT,
      turn_index INTEGER,
      status TEXT NOT NULL CHECK (
        status IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'timed_out', 'lost')
      ),
      model TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      started_at INTEGER,
      finished_at INTEGER,
      duration_ms INTEGER,
      stop_reason TEXT,
      code TEXT,
      usage TEXT,
      cost_usd REAL,
      prompt_chars INTEGER NOT NULL,
      response_chars INTEGER,
      request_id TEXT NOT NULL,
      address TEXT NOT NULL
    ) STRICT`
  yield* sql`CREATE INDEX runs_of_token ON runs (token_id, id)`
  yield* sql`CREATE INDEX runs_unfinished ON runs (id) WHERE status IN ('queued', 'running')`

  yield* sql`
    CREATE TABLE events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      type TEXT NOT NULL,
      at INTEGER NOT NULL,
      run_id TEXT,
      session_id TEXT,
      token_id TEXT,
      data TEXT NOT NULL
    ) STRICT`
  yield* sql`CREATE INDEX events_of_run ON events (run_id, seq) WHERE run_id IS NOT NULL`
  yield* sql`CREATE INDEX events_of_type ON events (type, seq)`
  yield* sql`
    CREATE TRIGGER events_are_append_only BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END`

  yield* sql`
    CREATE VIEW audit AS
    SELECT e.seq, e.at, e.type, t.name AS token, e.run_id, e.session_id,
      coalesce(e.data ->> 'request_id', r.request_id) AS request_id,
      coalesce(e.data ->> 'address', r.address) AS address,
      r.prompt_chars, ended.status, ended.code, ended.stop_reason, ended.response_chars, ended.duration_ms, e.data
    FROM events e
    LEFT JOIN tokens t ON t.id = e.token_id
    LEFT JOIN runs r ON r.id = e.run_id
    LEFT JOIN runs ended ON ended.id = e.run_id AND e.type NOT IN ('run.queued', 'run.started')`
})
