import { Cause, Clock, Context, Effect, Layer, Option, Redacted, type Scope } from "effect"
import {
  FileNotFound,
  FileTooLarge,
  QuotaExceeded,
  type StorageFailed,
  type Unauthorized,
} from "../domain/Failure.ts"
import { type AttachedFile, attachmentName, type StoredFile } from "../domain/File.ts"
import type { FileId, TokenId } from "../domain/Ids.ts"
import type { Origin } from "../domain/Token.ts"
import { FileContents } from "./FileContents.ts"
import { Holds } from "./files/Holds.ts"
import { Quotas } from "./files/Quotas.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "./Ledger.ts"
import { Secrets } from "./Secrets.ts"

/** What a file takes of its app's quota at least: a block on the disk, and a row. */
const LEAST_BYTES = 4096
/** How much of a name is kept: its end, which has the extension. */
const NAME_MAX_CHARS = 255
/** When an app should try again whose quota is taken by uploads that are still arriving. */
const BUSY_RETRY_SECS = 5

/** An upload that is arriving. Closing its scope removes it, unless it was kept. */
export interface Upload {
  /** Fails at the byte that is one too many, for the file or for the app. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, FileTooLarge | QuotaExceeded | StorageFailed>
  /** All of it is there: makes it last for `ttlSecs`, and names it. The token is returned here and never again. */
  readonly keep: (
    name: string,
    ttlSecs: number,
    origin: Origin,
  ) => Effect.Effect<
    { readonly token: Redacted.Redacted; readonly file: StoredFile },
    Unauthorized | StorageFailed
  >
}

/** Files that apps uploaded for their runs. Each belongs to one app; to all others it does not exist. */
export class Files extends Context.Tag("clawdforge/Files")<
  Files,
  {
    /**
     * Begins an upload of at least that many bytes, which are taken off the owner's quota at once: of several that
     * arrive together, some succeed instead of all running into the limit.
     */
    readonly receive: (
      owner: TokenId,
      leastSize?: number,
    ) => Effect.Effect<Upload, FileTooLarge | QuotaExceeded | StorageFailed, Scope.Scope>
    /**
     * The files of these tokens, each once. Fails unless all are there and the owner's. They stay until the scope
     * closes, whatever their time.
     */
    readonly hold: (
      tokens: ReadonlyArray<string>,
      owner: TokenId,
    ) => Effect.Effect<ReadonlyArray<StoredFile>, FileNotFound | StorageFailed, Scope.Scope>
    /** Copies files that are held into a directory, under names of ours. */
    readonly attach: (
      files: ReadonlyArray<StoredFile>,
      dir: string,
    ) => Effect.Effect<ReadonlyArray<AttachedFile>, FileNotFound | StorageFailed>
    /** Removes every file whose time has come, except those that are held; returns how many. */
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
        const ids = yield* Ids
        const ledger = (yield* Ledger).files
        const secrets = yield* Secrets
        const quotas = new Quotas(options.maxBytesPerToken)
        const holds = new Holds()
        const fileLimit = Math.min(options.maxUploadBytes, options.maxBytesPerToken)

        const stored = yield* ledger.list
        for (const { tokenId, size } of stored) quotas.occupy(tokenId, charge(size))
        const known = new Set(stored.map(({ id }) => id))
        const halfWritten = (yield* contents.list).filter((id) => !known.has(id))
        yield* Effect.forEach(halfWritten, (id) => discard(contents, id), { discard: true })

        const exceeded = Effect.fn("Files.exceeded")(function* (owner: TokenId) {
          const soonest = yield* ledger.soonestExpiry(owner)
          const now = yield* Clock.currentTimeMillis
          return yield* new QuotaExceeded({
            limit: options.maxBytesPerToken,
            retryAfterSecs: Option.match(soonest, {
              onNone: () => BUSY_RETRY_SECS,
              onSome: (at) => Math.max(1, Math.ceil((at - now) / 1000)),
            }),
          })
        })

        const receive = Effect.fn("Files.receive")(function* (owner: TokenId, leastSize = 0) {
          const id = yield* ids.file
          let taken = 0
          let size = 0
          let kept = false
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => quotas.giveBack(owner, kept ? taken - charge(size) : taken)),
          )

          /** Takes the quota for a file of that size, so far as it is not taken yet. */
          const take = Effect.fn("Files.take")(function* (newSize: number) {
            if (newSize > fileLimit) return yield* new FileTooLarge({ limit: fileLimit })
            const more = charge(newSize) - taken
            if (more <= 0) return
            if (!quotas.take(owner, more)) {
              // What has expired but is not removed yet makes room first.
              yield* expire
              if (!quotas.take(owner, more)) return yield* exceeded(owner)
            }
            taken += more
          })
          yield* take(leastSize)
          const writer = yield* contents.create(id)

          return {
            write: Effect.fn("Files.write")(function* (bytes) {
              yield* take(size + bytes.length)
              size += bytes.length
              yield* writer.write(bytes)
            }),
            keep: Effect.fn("Files.keep")(function* (name, ttlSecs, origin) {
              const now = yield* Clock.currentTimeMillis
              const token = yield* secrets.mint("ff_")
              const file: StoredFile = {
                id,
                tokenId: owner,
                name: name.slice(-NAME_MAX_CHARS),
                size,
                createdAt: now,
                expiresAt: now + ttlSecs * 1000,
              }
              yield* writer.sync
              yield* ledger.insert(file, secrets.hash(token), origin)
              yield* writer.keep
              kept = true
              return { token, file }
            }, Effect.uninterruptible),
          } satisfies Upload
        })

        const find = Effect.fn("Files.find")(function* (token: string, owner: TokenId) {
          const found = yield* ledger.findByHash(secrets.hash(Redacted.make(token)))
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.filterOrFail(
            found,
            (file) => file.tokenId === owner && file.expiresAt > now,
            () => new FileNotFound(),
          ).pipe(Effect.catchTag("NoSuchElementException", () => new FileNotFound()))
        })

        const hold = Effect.fn("Files.hold")(function* (token: string, owner: TokenId) {
          yield* holds.take((yield* find(token, owner)).id)
          // Asked again: it may have been removed before it was held.
          return yield* find(token, owner)
        })

        const expireSome = Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const due = (yield* ledger.due(now)).filter(({ id }) => !holds.has(id))
          const removed = due.length === 0 ? [] : yield* ledger.remove(due, now)
          for (const { tokenId, size } of removed) quotas.giveBack(tokenId, charge(size))
          yield* Effect.forEach(removed, ({ id }) => discard(contents, id), { discard: true })
          return removed.length
        }).pipe(Effect.uninterruptible)

        // In steps, so that others get at the ledger in between.
        const expire: Effect.Effect<number, StorageFailed> = Effect.gen(function* () {
          for (let all = 0; ; ) {
            const removed = yield* expireSome
            if (removed === 0) return all
            all += removed
          }
        }).pipe(Effect.withSpan("Files.expire"))

        return {
          receive,
          hold: (tokens, owner) => Effect.forEach(new Set(tokens), (token) => hold(token, owner)),
          attach: (files, dir) =>
            Effect.forEach(files, ({ id, name }, index) =>
              Effect.map(contents.copy(id, dir, attachmentName(index + 1, name)), (path) => ({ path, name })),
            ),
          expire,
        }
      }),
    )
}

/** Removes what has no record; what stays, for whatever reason, has another chance at the next start. */
const discard = (contents: FileContents["Type"], id: FileId) =>
  Effect.catchAll(contents.remove(id), ({ cause }) =>
    Effect.logWarning("an upload's file was not removed", Cause.die(cause)),
  )

const charge = (size: number): number => Math.max(size, LEAST_BYTES)
