import type { RefusalRecords } from "../../services/journal/Ledger.ts"
import type { EventWriter } from "./EventWriter.ts"
import type { LedgerDatabase } from "./LedgerDatabase.ts"

/** Makes the records of refused admissions. */
export const refusalRecords = ({ transaction }: LedgerDatabase, events: EventWriter): RefusalRecords => ({
  append: (refusals) =>
    events
      .append(
        refusals.map(({ at, tokenId, address, code, reason, count, requestId }) => ({
          type: "admission.refused" as const,
          at,
          runId: null,
          sessionId: null,
          tokenId,
          data: { address, code, reason, count, request_id: requestId },
        })),
      )
      .pipe(transaction("recording who was refused")),
})
