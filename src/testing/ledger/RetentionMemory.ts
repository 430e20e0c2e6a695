import { Effect } from "effect"
import type { RunId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS } from "../../domain/Origin.ts"
import { type RetentionRecords, ROWS_MIN_MILLIS, type StreamPass } from "../../services/journal/Ledger.ts"
import type { LedgerMemory } from "./LedgerMemory.ts"
import { bytesOf } from "./StreamMemory.ts"

/** The retention of the ledger in memory. Each removal is one step, because it blocks no other work. */
export const retentionRecords = (memory: LedgerMemory): RetentionRecords => {
  const { runs, streams, sessionMessages, keys, log } = memory

  /** Whether a run keeps its rows: see `StreamPass`. */
  const isSpared = (id: RunId, { at }: StreamPass): boolean => {
    const run = runs.get(id)
    if (run === undefined) return false
    if (run.finishedAt === null || run.finishedAt > at - ROWS_MIN_MILLIS) return true
    return [...keys.values()].some((kept) => kept.run === id && kept.at > at - IDEMPOTENCY_KEY_MILLIS)
  }
  /** Notes that a run's stream is removed up to that number. */
  const trim = (id: RunId, seq: number) => {
    const run = runs.get(id)
    if (run !== undefined) runs.set(id, { ...run, trimmedTo: Math.max(run.trimmedTo, seq) })
  }

  return {
    dropTexts: (at) =>
      Effect.sync(() => {
        let removed = 0
        for (const run of runs.values()) {
          if (run.textUntil === null || run.textUntil > at) continue
          const gone = streams.forget(run.id, run.trimmedTo)
          memory.inputs.delete(run.id)
          removed += gone.length
          runs.set(run.id, { ...run, trimmedTo: gone.at(-1)?.seq ?? run.trimmedTo, textUntil: null })
        }
        return { removed, done: true }
      }),
    dropStreams: (pass) =>
      Effect.sync(() => {
        let excess = streams.rows.length - pass.maxRows
        let { seq } = pass
        const gone = new Set<number>()
        for (const row of streams.rows.filter((row) => row.seq > pass.seq)) {
          if (row.at >= pass.before && excess <= 0) break
          seq = row.seq
          if (isSpared(row.run, pass)) continue
          gone.add(seq)
          trim(row.run, seq)
          excess -= 1
        }
        streams.remove(gone)
        return { removed: gone.size, done: true, pass: { ...pass, seq } }
      }),
    dropSessionMessages: (before) =>
      Effect.sync(() => {
        const { rows } = sessionMessages
        const young = rows.findIndex(({ at }) => at >= before)
        const due = young < 0 ? rows : rows.slice(0, young)
        sessionMessages.remove(due)
        return { removed: due.length, done: true }
      }),
    dropEvents: (before) => Effect.sync(() => ({ removed: log.drop(before), done: true })),
    dropKeys: (at) =>
      Effect.sync(() => {
        const due = [...keys].filter(([, kept]) => kept.at <= at - IDEMPOTENCY_KEY_MILLIS)
        for (const [key] of due) keys.delete(key)
        return { removed: due.length, done: true }
      }),
    sizes: Effect.sync(() => ({
      events: log.all.length,
      streamRows: streams.rows.length + sessionMessages.rows.length,
      streamBytes: bytesOf(streams.rows) + bytesOf(sessionMessages.rows),
      databaseBytes: 0,
      freeBytes: 0,
    })),
    shrink: () => Effect.succeed(0),
    purge: Effect.void,
  }
}
