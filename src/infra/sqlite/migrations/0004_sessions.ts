import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Sessions. Their turns are runs. The model of a turn can be null: the agent's own default. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE sessions (
      id TEXT PRIMARY KEY,
      token_id TEXT NOT NULL REFERENCES tokens (id),
      agent TEXT NOT NULL,
      model TEXT,
      meta TEXT,
      permission_mode TEXT NOT NULL,
      status TEXT NOT NULL CHECK (status IN ('opening', 'open', 'closed')),
      ref TEXT,
      answered INTEGER NOT NULL DEFAULT 0,
      turn_count INTEGER NOT NULL DEFAULT 0,
      created_at INTEGER NOT NULL,
      last_turn_at INTEGER,
      closed_at INTEGER,
      request_id TEXT NOT NULL,
      address TEXT NOT NULL,
      quiet_since INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(closed_at, last_turn_at, created_at)) VIRTUAL
    ) STRICT`
  // Finds due sessions in their order, and counts the places without reading closed sessions.
  yield* sql`CREATE INDEX sessions_due ON sessions (status, quiet_since, id)`
  yield* sql`CREATE INDEX sessions_of_token ON sessions (token_id, created_at)`

  // SQLite can remove NOT NULL from a column (here: model) only by a new table. Only the view refers to the old one.
  yield* sql`DROP VIEW audit`
  yield* sql`
    CREATE TABLE new_runs (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('run', 'turn')),
      token_id TEXT NOT NULL REFERENCES tokens (id),
      session_id TEXT,
      turn_index INTEGER,
      status TEXT NOT NULL CHECK (
        status IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'timed_out', 'lost')
      ),
      model TEXT,
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
  const columns = sql.literal(
    `id, kind, token_id, session_id, turn_index, status, model, created_at, started_at, finished_at, duration_ms,
      stop_reason, code, usage, cost_usd, prompt_chars, response_chars, request_id, address`,
  )
  yield* sql`INSERT INTO new_runs (${columns}) SELECT ${columns} FROM runs ORDER BY rowid`
  yield* sql`DROP TABLE runs`
  yield* sql`ALTER TABLE new_runs RENAME TO runs`
  yield* sql`CREATE INDEX runs_of_token ON runs (token_id, id)`
  yield* sql`CREATE INDEX runs_unfinished ON runs (id) WHERE status IN ('queued', 'running')`
  yield* sql`
    CREATE INDEX runs_unfinished_of_session ON runs (session_id) WHERE status IN ('queued', 'running')`
  yield* sql`
    CREATE UNIQUE INDEX runs_of_session ON runs (session_id, turn_index) WHERE session_id IS NOT NULL`

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
