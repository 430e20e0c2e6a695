import { Effect, Option, Redacted, Schema } from "effect"
import { Unauthorized } from "../../domain/Failure.ts"
import { UploadAnswer } from "../../domain/File.ts"
import type { FileRecords } from "../../services/journal/Ledger.ts"
import { type LedgerMemory, originData } from "./LedgerMemory.ts"

const encodeAnswer = Schema.encodeSync(UploadAnswer)

/** The uploads of the ledger in memory. */
export const fileRecords = (memory: LedgerMemory): FileRecords => {
  const { files, log } = memory
  return {
    insert: ({ file, token, hash, ttlSecs, origin }) =>
      Effect.gen(function* () {
        const { id, tokenId, size, createdAt: at, expiresAt } = file
        if (memory.isRevoked(tokenId)) return yield* new Unauthorized()
        yield* memory.requireFreeKey(tokenId, origin, at, "recording an upload")
        files.set(hash, file)
        const data = { file_id: id, size, expires_at: expiresAt, ...originData(origin) }
        log.add({ type: "file.upload", at, tokenId, data })
        const answer = encodeAnswer({ token: Redacted.make(Redacted.value(token)), size, ttlSecs })
        memory.storeAnswer(tokenId, origin, answer, at)
      }),
    findByHash: (hash) => Effect.sync(() => Option.fromNullable(files.get(hash))),
    existing: (ids) =>
      Effect.sync(() => {
        const known = new Set([...files.values()].map(({ id }) => id))
        return ids.filter((id) => known.has(id))
      }),
    list: Effect.sync(() => [...files.values()]),
    soonestExpiry: (owner) =>
      Effect.sync(() => {
        const times = [...files.values()].filter((f) => f.tokenId === owner).map((f) => f.expiresAt)
        return times.length === 0 ? Option.none() : Option.some(Math.min(...times))
      }),
    due: (at) =>
      Effect.sync(() =>
        [...files.values()]
          .filter((file) => file.expiresAt <= at)
          .sort((one, other) => one.expiresAt - other.expiresAt),
      ),
    remove: (gone, at) =>
      memory.transaction(() => {
        const ids = new Set(gone.map(({ id }) => id))
        const removed = [...files].filter(([hash, { id }]) => ids.has(id) && files.delete(hash))
        for (const [, { id, tokenId, size }] of removed) {
          log.add({ type: "file.expire", at, tokenId, data: { file_id: id, size } })
        }
        return removed.map(([, file]) => file)
      }),
  }
}
