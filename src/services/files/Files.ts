import { Cause, Clock, Context, Effect, Layer, Redacted, type Scope } from "effect"
import {
  FileNotFound,
  type FileTooLarge,
  type QuotaExceeded,
  type StorageFailed,
} from "../../domain/Failure.ts"
import { type AttachedFile, attachmentName, type StoredFile } from "../../domain/File.ts"
import type { FileId, TokenId } from "../../domain/Ids.ts"
import { FileContents } from "./FileContents.ts"
import { FilesInUse } from "./FilesInUse.ts"
import { charge, Quotas } from "./Quotas.ts"
import { type Arriving, makeUploads, type Upload } from "./Uploads.ts"
import { Ids } from "../access/Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Secrets } from "../access/Secrets.ts"

/** Files that apps upload for their runs. Each belongs to one app. For all other apps it does not exist. */
export class Files extends Context.Tag("clawdforge/Files")<
  Files,
  {
    /**
     * Begins an upload of at least `leastSize` bytes. They are taken from the owner's quota at once: so if several uploads
     * arrive together, some succeed, instead of all of them failing at the limit.
     */
    readonly receive: (
      owner: TokenId,
      leastSize?: number,
    ) => Effect.Effect<Upload, FileTooLarge | QuotaExceeded | StorageFailed, Scope.Scope>
    /** Reads an upload only for its size and digest. Stores nothing, and takes no quota. */
    readonly measure: Effect.Effect<Arriving>
    /** Returns the files of these tokens, each once. Fails unless all exist, are the owner's and have not expired. */
    readonly find: (
      tokens: ReadonlyArray<string>,
      owner: TokenId,
    ) => Effect.Effect<ReadonlyArray<StoredFile>, FileNotFound | StorageFailed>
    /** Keeps files from being removed until the scope closes, also after they expire. Fails if one is removed already. */
    readonly hold: (
      files: ReadonlyArray<StoredFile>,
    ) => Effect.Effect<void, FileNotFound | StorageFailed, Scope.Scope>
    /** Copies files that are held into a directory, under names of ours. */
    readonly attach: (
      files: ReadonlyArray<StoredFile>,
      dir: string,
    ) => Effect.Effect<ReadonlyArray<AttachedFile>, FileNotFound | StorageFailed>
    /** Removes all expired files except those that are held. Returns how many it has removed. */
    readonly expire: Effect.Effect<number, StorageFailed>
  }
>() {
  static readonly layer = (options: {
    readonly maxUploadBytes: number
    readonly maxBytesPerToken: number
  }): Layer.Layer<Files, StorageFailed, FileContents | Ids | Ledger | Secrets> =>
    Layer.scoped(
      Files,
      Effect.gen(function* () {
        const contents = yield* FileContents
        const ledger = (yield* Ledger).files
        const secrets = yield* Secrets
        const quotas = new Quotas(options.maxBytesPerToken)
        const inUse = new FilesInUse()
        const fileLimit = Math.min(options.maxUploadBytes, options.maxBytesPerToken)

        const stored = yield* ledger.list
        for (const { tokenId, size } of stored) quotas.occupy(tokenId, charge(size))
        const known = new Set(stored.map(({ id }) => id))
        const halfWritten = (yield* contents.list).filter((id) => !known.has(id))
        yield* Effect.forEach(halfWritten, (id) => discard(contents, id), { discard: true })

        const find = Effect.fn("Files.find")(function* (token: string, owner: TokenId) {
          const found = yield* ledger.findByHash(secrets.hash(Redacted.make(token)))
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.filterOrFail(
            found,
            (file) => file.tokenId === owner && file.expiresAt > now,
            () => new FileNotFound(),
          ).pipe(Effect.catchTag("NoSuchElementException", () => new FileNotFound()))
        })

        const hold = Effect.fn("Files.hold")(function* (files: ReadonlyArray<StoredFile>) {
          if (files.length === 0) return
          for (const { id } of files) yield* inUse.take(id)
          // Asked afterwards: a file may have been removed before it was held.
          const existing = new Set(yield* ledger.existing(files.map(({ id }) => id)))
          if (!files.every(({ id }) => existing.has(id))) return yield* new FileNotFound()
        })

        const expireBatch = Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const due = (yield* ledger.due(now)).filter(({ id }) => !inUse.has(id))
          const removed =
            due.length === 0
              ? []
              : yield* Effect.tapError(ledger.remove(due, now), () =>
                  // A full disk takes no row, and the files are what it is full of. Nobody can use them any longer.
                  Effect.forEach(due, ({ id }) => discard(contents, id), { discard: true }),
                )
          for (const { tokenId, size } of removed) quotas.giveBack(tokenId, charge(size))
          yield* Effect.forEach(removed, ({ id }) => discard(contents, id), { discard: true })
          return removed.length
        }).pipe(Effect.uninterruptible)

        // In batches, so that other requests can use the ledger in between.
        const expire: Effect.Effect<number, StorageFailed> = Effect.gen(function* () {
          for (let all = 0; ; ) {
            const removed = yield* expireBatch
            if (removed === 0) return all
            all += removed
          }
        }).pipe(Effect.withSpan("Files.expire"))

        const { receive, measure } = yield* makeUploads({ quotas, fileLimit, expire })

        return {
          receive,
          measure,
          find: (tokens, owner) => Effect.forEach(new Set(tokens), (token) => find(token, owner)),
          hold,
          attach: (files, dir) =>
            Effect.forEach(files, ({ id, name }, index) =>
              Effect.map(contents.copy(id, dir, attachmentName(index + 1, name)), (path) => ({ path, name })),
            ),
          expire,
        }
      }),
    )
}

/** Removes a file without a record. One that cannot be removed is logged, and tried again when the service starts. */
const discard = (contents: FileContents["Type"], id: FileId) =>
  Effect.catchAll(contents.remove(id), ({ cause }) =>
    Effect.logWarning("an upload's file was not removed", Cause.die(cause)),
  )
