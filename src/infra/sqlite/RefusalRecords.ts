import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import type { EventType } from "../../domain/Event.ts"
import type { RefusalRecords } from "../../services/journal/Ledger.ts"
import { type EventWriter, storing } from "./Rows.ts"

const TYPE: EventType = "admission.refused"

export const refusalRecords = (sql: SqlClient.SqlClient, events: EventWriter): RefusalRecords => ({
  // One statement for up to thousands of rows: it is a transaction by itself, and holds up nobody else's.
  append: (refusals) => {
    const rows = refusals.map(({ at, tokenId, address, code, reason, count, requestId }) => ({
      at,
      tokenId,
      data: { address, code, reason, count, request_id: requestId },
    }))
    return sql`
      INSERT INTO events (type, at, token_id, data)
      SELECT ${TYPE}, value ->> 'at', value ->> 'tokenId', value -> 'data'
      FROM json_each(${JSON.stringify(rows)}) ORDER BY key`.pipe(
      Effect.zipRight(events.tell),
      storing("recording who was refused"),
    )
  },
})
