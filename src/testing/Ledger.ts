import { Clock, Effect, Layer, Option } from "effect"
import { IDEMPOTENCY_KEY_MILLIS } from "../domain/Origin.ts"
import { holdChanges } from "../services/journal/HeldChanges.ts"
import { Ledger } from "../services/journal/Ledger.ts"
import { eventRecords } from "./ledger/EventMemory.ts"
import { fileRecords } from "./ledger/FileMemory.ts"
import { LedgerMemory, nameOfKey } from "./ledger/LedgerMemory.ts"
import { retentionRecords } from "./ledger/RetentionMemory.ts"
import { runRecords } from "./ledger/RunMemory.ts"
import { sessionMessageRecords } from "./ledger/SessionStreamMemory.ts"
import { sessionRecords } from "./ledger/SessionMemory.ts"
import { streamRecords } from "./ledger/StreamMemory.ts"
import { tokenRecords } from "./ledger/TokenMemory.ts"

/**
 * The ledger in memory. With the memory of an earlier ledger, it continues with that as after a restart: unfinished
 * runs are lost. Without one, each build of the layer makes a new memory.
 */
export const ledger = (
  existing?: LedgerMemory,
  options: {
    /** How long the text of a run is kept after its end, in seconds; 3600 by default. */
    readonly streamRetentionSecs?: number
  } = {},
) =>
  Layer.scoped(
    Ledger,
    Effect.gen(function* () {
      const memory = existing ?? new LedgerMemory()
      const { keys, streams, refusals, log } = memory
      const runs = runRecords(memory, options.streamRetentionSecs ?? 3600)
      yield* runs.loseUnfinished(yield* Clock.currentTimeMillis)
      return yield* holdChanges({
        writable: Effect.void,
        tokens: tokenRecords(memory),
        runs,
        sessions: sessionRecords(memory),
        sessionMessages: sessionMessageRecords(memory),
        files: fileRecords(memory),
        refusals: {
          append: (more) =>
            memory.transaction(() => {
              refusals.push(...more)
              for (const { at, tokenId, address, code, reason, count, requestId } of more) {
                const data = { address, code, reason, count, request_id: requestId }
                log.add({ type: "admission.refused", at, tokenId, data })
              }
            }),
        },
        streams: streamRecords(streams, (run) => memory.runs.get(run)?.trimmedTo),
        events: eventRecords(log),
        keys: {
          find: (owner, key, now) =>
            Effect.sync(() =>
              Option.fromNullable(keys.get(nameOfKey(owner, key))).pipe(
                Option.filter(({ at }) => at > now - IDEMPOTENCY_KEY_MILLIS),
                Option.map(({ fingerprint, answer }) => ({ fingerprint, answer })),
              ),
            ),
        },
        retention: retentionRecords(memory),
      })
    }),
  )
