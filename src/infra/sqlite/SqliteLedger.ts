import { SqlClient } from "@effect/sql"
import { Clock, Effect, Layer } from "effect"
import { Ledger } from "../../services/journal/Ledger.ts"
import { fileRecords } from "./FileRecords.ts"
import { refusalRecords } from "./RefusalRecords.ts"
import { eventRecords } from "./EventRecords.ts"
import { keyRecords } from "./KeyRecords.ts"
import { makeEventWriter, storing } from "./Rows.ts"
import { streamRecords } from "./StreamRecords.ts"
import { retentionRecords } from "./RetentionRecords.ts"
import { runRecords } from "./RunRecords.ts"
import { sessionRecords } from "./SessionRecords.ts"
import { tokenRecords } from "./TokenRecords.ts"

/** The ledger in SQLite. What a server that died left unfinished is closed before anybody can ask. */
export const layer = (
  options: {
    /** How long what a run said is kept after its end; by default an hour. */
    readonly streamRetentionSecs?: number
  } = {},
) =>
  Layer.effect(
    Ledger,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const events = yield* makeEventWriter(sql)
      const runs = runRecords(sql, events, { streamRetentionSecs: options.streamRetentionSecs ?? 3600 })
      const lost = yield* runs.loseUnfinished(yield* Clock.currentTimeMillis)
      if (lost > 0)
        yield* Effect.logWarning("runs of a server that died are recorded as lost", { runs: lost })
      return {
        // Takes the right to write, and writes nothing.
        writable: Effect.asVoid(sql`UPDATE tokens SET name = name WHERE false`).pipe(
          storing("looking whether the database can be written to"),
        ),
        tokens: tokenRecords(sql, events),
        runs,
        sessions: sessionRecords(sql, events),
        files: fileRecords(sql, events),
        refusals: refusalRecords(sql, events),
        streams: streamRecords(sql),
        events: eventRecords(sql, events),
        keys: keyRecords(sql),
        retention: retentionRecords(sql),
      }
    }),
  )
