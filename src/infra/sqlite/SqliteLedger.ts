import { SqlClient } from "@effect/sql"
import { Clock, Effect, Layer } from "effect"
import { Ledger } from "../../services/Ledger.ts"
import { fileRecords } from "./FileRecords.ts"
import { refusalRecords } from "./RefusalRecords.ts"
import { storing } from "./Rows.ts"
import { runRecords } from "./RunRecords.ts"
import { sessionRecords } from "./SessionRecords.ts"
import { tokenRecords } from "./TokenRecords.ts"

/** The ledger in SQLite. What a server that died left unfinished is closed before anybody can ask. */
export const layer = Layer.effect(
  Ledger,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const runs = runRecords(sql)
    const lost = yield* runs.loseUnfinished(yield* Clock.currentTimeMillis)
    if (lost > 0) yield* Effect.logWarning("runs of a server that died are recorded as lost", { runs: lost })
    return {
      // Takes the right to write, and writes nothing.
      writable: Effect.asVoid(sql`UPDATE tokens SET name = name WHERE false`).pipe(
        storing("looking whether the database can be written to"),
      ),
      tokens: tokenRecords(sql),
      runs,
      sessions: sessionRecords(sql),
      files: fileRecords(sql),
      refusals: refusalRecords(sql),
    }
  }),
)
