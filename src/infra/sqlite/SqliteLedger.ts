import { Clock, Effect, Layer } from "effect"
import { holdChanges } from "../../services/journal/HeldChanges.ts"
import { Ledger } from "../../services/journal/Ledger.ts"
import { eventRecords } from "./EventRecords.ts"
import { makeEventWriter } from "./EventWriter.ts"
import { fileRecords } from "./FileRecords.ts"
import { keyRecords } from "./IdempotencyKeyRecords.ts"
import { makeLedgerDatabase } from "./LedgerDatabase.ts"
import { refusalRecords } from "./RefusalRecords.ts"
import { retentionRecords } from "./RetentionRecords.ts"
import { runRecords } from "./RunRecords.ts"
import { sessionMessageRecords } from "./SessionMessageRecords.ts"
import { sessionRecords } from "./SessionRecords.ts"
import { streamRecords } from "./StreamRecords.ts"
import { tokenRecords } from "./TokenRecords.ts"

/** The ledger in SQLite. When the layer is built, it records the unfinished runs of a server that died as lost. */
export const layer = (
  options: {
    /** How long the text of a run is kept after its end, in seconds; 3600 by default. */
    readonly streamRetentionSecs?: number
  } = {},
) =>
  Layer.scoped(
    Ledger,
    Effect.gen(function* () {
      const database = yield* makeLedgerDatabase
      const events = makeEventWriter(database)
      const { streamRetentionSecs = 3600 } = options
      const runs = runRecords(database, events, { streamRetentionSecs })
      const lost = yield* runs.loseUnfinished(yield* Clock.currentTimeMillis)
      if (lost > 0)
        yield* Effect.logWarning("runs of a server that died are recorded as lost", { runs: lost })
      return yield* holdChanges({
        // A statement that changes nothing, or is rolled back, succeeds on a full disk.
        writable: Effect.flatMap(Clock.currentTimeMillis, (at) =>
          database.transaction("looking whether the database can be written to")(
            Effect.asVoid(database.sql`INSERT OR REPLACE INTO write_trials (id, at) VALUES (1, ${at})`),
          ),
        ),
        tokens: tokenRecords(database, events),
        runs,
        sessions: sessionRecords(database, events),
        sessionMessages: sessionMessageRecords(database),
        files: fileRecords(database, events),
        refusals: refusalRecords(database, events),
        streams: streamRecords(database, events),
        events: eventRecords(database, events),
        keys: keyRecords(database),
        retention: retentionRecords(database),
      })
    }),
  )
