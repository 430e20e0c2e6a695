import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/**
 * The streams of runs (stream_events, with numbers from the sequence of events), and the answers that can be replayed
 * (idempotency_keys). Both hold text for a limited time; the text of a run until `text_until`.
 */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE stream_events (
      seq INTEGER PRIMARY KEY,
      run_id TEXT NOT NULL,
      kind TEXT NOT NULL CHECK (kind IN ('run', 'message', 'result', 'error')),
      at INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      body TEXT
    ) STRICT`
  // The index has the sizes, so that no text is read to measure it.
  yield* sql`CREATE INDEX stream_events_of_run ON stream_events (run_id, seq, bytes)`

  // When the text of an ended run is removed, and the number up to which its stream is removed.
  yield* sql`ALTER TABLE runs ADD COLUMN text_until INTEGER`
  yield* sql`ALTER TABLE runs ADD COLUMN trimmed_to INTEGER NOT NULL DEFAULT 0`
  yield* sql`CREATE INDEX runs_with_text ON runs (text_until) WHERE text_until IS NOT NULL`

  yield* sql`
    CREATE TABLE idempotency_keys (
      token_id TEXT NOT NULL,
      route TEXT NOT NULL,
      key TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      answer TEXT NOT NULL,
      run_id TEXT,
      created_at INTEGER NOT NULL,
      PRIMARY KEY (token_id, route, key)
    ) STRICT, WITHOUT ROWID`
  yield* sql`CREATE INDEX idempotency_keys_of_run ON idempotency_keys (run_id) WHERE run_id IS NOT NULL`
  yield* sql`CREATE INDEX idempotency_keys_due ON idempotency_keys (created_at)`

  // Finds the few runs in a state without reading the others.
  yield* sql`CREATE INDEX runs_of_status ON runs (status, id)`
  yield* sql`CREATE INDEX runs_of_token_by_status ON runs (token_id, status, id)`

  yield* sql`CREATE INDEX events_of_token ON events (token_id, seq)`
  yield* sql`CREATE INDEX events_of_token_by_type ON events (token_id, type, seq)`
  yield* sql`CREATE INDEX events_of_session ON events (session_id, seq) WHERE session_id IS NOT NULL`
  // The number up to which retention has removed events.
  yield* sql`CREATE TABLE retention (name TEXT PRIMARY KEY, trimmed_to INTEGER NOT NULL) STRICT`
  yield* sql`INSERT INTO retention (name, trimmed_to) VALUES ('events', 0)`
  // The number of events of each type. Triggers maintain it, because counting on request takes too long.
  yield* sql`
    CREATE TABLE event_counts (
      owner TEXT NOT NULL,
      type TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (owner, type)
    ) STRICT, WITHOUT ROWID`
  yield* sql`INSERT INTO event_counts SELECT coalesce(token_id, ''), type, count(*) FROM events GROUP BY 1, 2`
  yield* sql`
    CREATE TRIGGER events_come AFTER INSERT ON events BEGIN
      INSERT INTO event_counts VALUES (coalesce(NEW.token_id, ''), NEW.type, 1)
      ON CONFLICT DO UPDATE SET count = count + 1;
    END`
  yield* sql`
    CREATE TRIGGER events_go AFTER DELETE ON events BEGIN
      UPDATE event_counts SET count = count - 1 WHERE owner = coalesce(OLD.token_id, '') AND type = OLD.type;
    END`
  yield* sql`CREATE TABLE stream_totals (id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT`
  yield* sql`INSERT INTO stream_totals VALUES (1, 0, 0)`
  yield* sql`
    CREATE TRIGGER stream_events_come AFTER INSERT ON stream_events BEGIN
      UPDATE stream_totals SET rows = rows + 1, bytes = bytes + NEW.bytes WHERE id = 1;
    END`
  yield* sql`
    CREATE TRIGGER stream_events_lose_text AFTER UPDATE OF bytes ON stream_events BEGIN
      UPDATE stream_totals SET bytes = bytes + NEW.bytes - OLD.bytes WHERE id = 1;
    END`
  yield* sql`
    CREATE TRIGGER stream_events_go AFTER DELETE ON stream_events BEGIN
      UPDATE stream_totals SET rows = rows - 1, bytes = bytes - OLD.bytes WHERE id = 1;
    END`

  // Both tables of events take their numbers from this row.
  yield* sql`
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'events', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events')`
})
